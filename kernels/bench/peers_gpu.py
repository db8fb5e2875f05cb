# SPDX-License-Identifier: Apache-2.0
"""The GPU half of peers.py: what PyTorch runs for attention on an NVIDIA GPU.

Dense: scaled_dot_product_attention by cuDNN and by FlashAttention. Sparse: FlexAttention, compiled,
with a BlockMask of 128 x 128 blocks. Normal bf16 inputs, lists of equal length, medians between CUDA
events with the L2 cache overwritten before each repetition, as `sparsify bench` does it; the device
is also kept busy while Python enqueues, so that no peer is charged for Python.

Each peer is verified first, one whole head of it, against the definition in float32.
"""

import json
import math
import statistics
import subprocess

SEQUENCE_480P, SEQUENCE_720P = 32760, 75600
# (operation, shape, share of blocks kept); each has a case of the same name in sparsify bench.
CASES = [
    ("attend", (1, 12, SEQUENCE_480P, 128), 1),
    ("attend_backward", (1, 12, SEQUENCE_480P, 128), 1),
    ("attend", (4, 16, 16384, 64), 1),
    ("attend_backward", (4, 16, 16384, 64), 1),
    ("attend", (1, 12, SEQUENCE_480P, 128), 0.1),
    ("attend_backward", (1, 12, SEQUENCE_480P, 128), 0.1),
    ("attend", (1, 12, SEQUENCE_480P, 128), 0.05),
    ("attend_backward", (1, 12, SEQUENCE_480P, 128), 0.05),
    ("attend", (1, 40, SEQUENCE_720P, 128), 1),
    ("attend", (1, 40, SEQUENCE_720P, 128), 0.05),
]
BLOCK = 128
WRONG = 2e-2  # relative L2 beyond which a peer is no peer; bf16 attention is near 3e-3
FLUSHED_BYTES = 256 << 20
BUSY_CYCLES = 2_000_000  # about a millisecond: longer than Python takes to enqueue anything here


def case_name(operation, shape, density):
    return f"{operation}/bf16/{'x'.join(map(str, shape))}/{density:g}"


def kept_blocks(density, blocks):
    return min(max(1, math.floor(density * blocks + 0.5)), blocks)


def flops(operation, shape, pairs):
    """Of kept pairs: 4 D each, and 2.5 times that for a gradient."""
    return 4.0 * shape[3] * pairs * (2.5 if operation == "attend_backward" else 1.0)


def best_of(peers):
    """The peer with the highest rate, or None."""
    rated = {name: p for name, p in peers.items() if p.get("gflops")}
    return max(rated, key=lambda name: rated[name]["gflops"]) if rated else None


def summarise(rounds):
    """One entry per case: medians over the rounds, and our rate over the best peer's."""
    cases = []
    for name in dict.fromkeys(r["case"] for r in rounds):
        of_case = [r for r in rounds if r["case"] == name]
        ours = [r["ours"] for r in of_case if r["ours"] and r["ours"]["gflops"]]
        peers = {}
        for peer in dict.fromkeys(p for r in of_case for p in r["peers"]):
            timed = [r["peers"][peer] for r in of_case if r["peers"].get(peer, {}).get("gflops")]
            peers[peer] = {key: statistics.median(t[key] for t in timed)
                           for key in ("seconds", "gflops")} if timed else {
                               "absent": of_case[0]["peers"][peer].get("absent", "not timed")}
        entry = {"case": name, "peers": peers, "best_peer": best_of(peers),
                 "ours_seconds": statistics.median(o["seconds"] for o in ours) if ours else None,
                 "ours_gflops": statistics.median(o["gflops"] for o in ours) if ours else None,
                 "ratio": None}
        if ours and entry["best_peer"]:
            entry["ratio"] = entry["ours_gflops"] / peers[entry["best_peer"]]["gflops"]
        cases.append(entry)
    return cases


class Lists:
    """Kept blocks of every row, random, as FlexAttention takes them."""

    def __init__(self, torch, shape, density):
        batch, heads, n, _ = shape
        self.blocks = (n + BLOCK - 1) // BLOCK
        self.n = n
        self.kept = kept_blocks(density, self.blocks)
        generator = torch.Generator(device="cuda").manual_seed(1)
        order = torch.rand(batch, heads, self.blocks, self.blocks, device="cuda",
                           generator=generator).argsort(dim=-1)
        # The first `kept` ascend; those after them are not read.
        self.indices = torch.cat([order[..., :self.kept].sort(dim=-1).values,
                                  order[..., self.kept:]], dim=-1).to(torch.int32).contiguous()

    def block_mask(self, torch):
        from torch.nn.attention.flex_attention import BlockMask
        full = torch.full(self.indices.shape[:3], self.kept, dtype=torch.int32, device="cuda")
        # All are full blocks: nothing within them is masked, so no mask function is evaluated.
        return BlockMask.from_kv_blocks(torch.zeros_like(full), torch.zeros_like(self.indices), full,
                                        self.indices, BLOCK_SIZE=BLOCK,
                                        seq_lengths=(self.n, self.n))

    def tokens(self, torch, head, begin, end):
        """(end - begin, n) of one head, by query tokens: is the key kept?"""
        kept = self.indices[0, head, :, :self.kept].long()
        grid = torch.zeros(self.blocks, self.blocks, dtype=torch.bool, device="cuda")
        grid.scatter_(1, kept, True)
        rows = grid[torch.arange(begin, end, device="cuda") // BLOCK]
        return rows.repeat_interleave(BLOCK, dim=1)[:, :self.n]

    def pairs(self, torch):
        last = self.n - (self.blocks - 1) * BLOCK
        keys = torch.full((self.blocks,), BLOCK, device="cuda")
        keys[-1] = last
        queries = keys.double()
        rows = keys[self.indices[..., :self.kept].long()].sum(dim=-1).double()
        return float((rows * queries).sum())


def reference(torch, q, k, v, d_o, lists, head):
    """o, dq, dk, dv of one head of batch 0 in float32, some queries at a time. Without d_o: o."""
    q, k, v = (x[0, head].detach().float() for x in (q, k, v))
    scale = q.shape[1] ** -0.5
    o, dq = torch.zeros_like(q), torch.zeros_like(q)
    dk, dv = torch.zeros_like(k), torch.zeros_like(v)
    step = 1024
    for begin in range(0, q.shape[0], step):
        end = min(begin + step, q.shape[0])
        scores = scale * (q[begin:end] @ k.T)
        if lists is not None:
            scores.masked_fill_(~lists.tokens(torch, head, begin, end), -math.inf)
        p = torch.softmax(scores, dim=-1)
        o[begin:end] = p @ v
        if d_o is None:
            continue
        g = d_o[0, head, begin:end].float()
        dp = g @ v.T
        ds = p * (dp - (p * dp).sum(dim=-1, keepdim=True))
        dq[begin:end] = scale * (ds @ k)
        dk += scale * (ds.T @ q[begin:end])
        dv += p.T @ g
    return (o,) if d_o is None else (dq, dk, dv)


class Peers:
    """Runs the peers of one process; compiled functions are kept between rounds."""

    def __init__(self, torch, seconds):
        self.torch, self.seconds = torch, seconds
        self.flushed = torch.empty(FLUSHED_BYTES, dtype=torch.int8, device="cuda")
        self.compiled, self.errors = {}, {}

    def time(self, run):
        torch = self.torch
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        run()
        run()
        seconds = []
        while len(seconds) < 5 or (sum(seconds) < self.seconds and len(seconds) < 100):
            self.flushed.zero_()
            torch.cuda._sleep(BUSY_CYCLES)
            begin.record()
            run()
            end.record()
            end.synchronize()
            seconds.append(1e-3 * begin.elapsed_time(end))
        return statistics.median(seconds)

    def functions(self, case, density, lists):
        """Name -> function of q, k, v."""
        torch = self.torch
        if density >= 1:
            from torch.nn.attention import SDPBackend, sdpa_kernel

            def by(backend):
                def run(q, k, v):
                    with sdpa_kernel(backend):
                        return torch.nn.functional.scaled_dot_product_attention(q, k, v)
                return run
            return {"cudnn": by(SDPBackend.CUDNN_ATTENTION),
                    "flash": by(SDPBackend.FLASH_ATTENTION)}
        if case not in self.compiled:
            from torch.nn.attention.flex_attention import flex_attention
            self.compiled[case] = torch.compile(flex_attention, dynamic=False)
        mask = lists.block_mask(torch)
        return {"flex": lambda q, k, v: self.compiled[case](q, k, v, block_mask=mask)}

    def verify(self, case, peer, results, expected):
        """Relative L2 of one head, the largest of the results; measured in the first round."""
        if (case, peer) not in self.errors:
            self.errors[case, peer] = max(
                float((r.float() - e).norm() / e.norm()) for r, e in zip(results, expected()))
        error = self.errors[case, peer]
        if not error < WRONG:
            raise RuntimeError(f"relative error {error:.3g}")
        return error

    def run(self, operation, shape, density):
        """Name -> seconds, gflops and error of a peer, or why it is absent."""
        torch = self.torch
        case = case_name(operation, shape, density)
        torch.manual_seed(1)
        backward = operation == "attend_backward"
        q, k, v, d_o = (torch.randn(*shape, device="cuda").to(torch.bfloat16) for _ in range(4))
        for x in (q, k, v):
            x.requires_grad_(backward)
        lists = Lists(torch, shape, density) if density < 1 else None
        batch, heads, n, _ = shape
        pairs = lists.pairs(torch) if lists else float(batch * heads) * n * n
        head = heads - 1
        known = []

        def expected():
            if not known:
                known.extend(reference(torch, q, k, v, d_o if backward else None, lists, head))
            return known

        found = {}
        for peer, function in self.functions(case, density, lists).items():
            try:
                if backward:
                    o = function(q, k, v)

                    def timed(o=o):
                        return torch.autograd.grad(o, (q, k, v), d_o, retain_graph=True)
                else:
                    def timed(function=function):
                        with torch.no_grad():
                            return (function(q, k, v),)
                results = [r[0, head] for r in timed()]
                error = self.verify(case, peer, results, expected)
                seconds = self.time(timed)
                found[peer] = {"seconds": seconds, "relative_error": error,
                               "gflops": flops(operation, shape, pairs) / seconds * 1e-9,
                               "density": pairs / (float(batch * heads) * n * n)}
            except Exception as e:  # pylint: disable=broad-except
                # A peer that this PyTorch or this GPU has not is absent, whatever it raises.
                found[peer] = {"absent": f"{type(e).__name__}: {str(e)[:200]}"}
        return found


def run_ours(command):
    """Results of one `sparsify bench` by case name, and its report. Its errors are shown."""
    text = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    report = json.loads(text)
    return {r["case"]: r for r in report["results"]}, report


def main(options):
    import torch
    import torch._functorch.config
    torch._functorch.config.donated_buffer = False  # gradients are taken again and again
    peers = Peers(torch, options.seconds)
    cases = [c for c in CASES if options.case in case_name(*c)]
    command = [options.sparsify, "bench", "--backend", "cuda", "--case",
               options.case or "attend", "--seconds", str(options.seconds), "--json",
               "--progress", "none"]
    rounds, report = [], {}
    for _ in range(options.rounds):
        torch.cuda.empty_cache()
        ours, report = run_ours(command)
        for case in cases:
            name = case_name(*case)
            timed = ours.get(name)
            rounds.append({"case": name, "peers": peers.run(*case),
                           "ours": timed and {key: timed[key] for key in (
                               "seconds", "gflops", "density", "relative_error", "share_of_peak")}})
            torch.cuda.empty_cache()
    print(json.dumps({
        "peer": f"torch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}",
        "device": report.get("device"),
        "ours": report.get("backend"),
        "ceilings": report.get("ceilings"),
        "flex_block": [BLOCK, BLOCK],
        "cases": summarise(rounds),
        "rounds": rounds,
    }, indent=1))
