#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a user would run instead, beside ours in one run: PyTorch's dense attention on a CPU; on a
GPU its dense attention by cuDNN and FlashAttention, and FlexAttention (peers_gpu.py).

Each round times ours with `sparsify bench`, then PyTorch, so that both see the same machine. Prints
one JSON object: every round, and per dtype or case the median ratio. Run it on a quiet machine:

    /usr/bin/python3 kernels/bench/peers.py --sparsify build/release/bin/sparsify > peers.json
    python3 kernels/bench/peers.py --gpu --sparsify build/cuda/bin/sparsify > peers.json

Debian's PyTorch 1.13 keeps scaled_dot_product_attention private and unfused; later ones make it
public. Its fp32 products go to whatever libblas.so.3 is: the reference BLAS by default, OpenBLAS
with libopenblas0-pthread installed (which wants OPENBLAS_CORETYPE=SkylakeX where it does not know
the processor). The output names it.
"""

import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import time

import peers_gpu

DTYPES = {"bf16": "bfloat16", "f32": "float32"}


def attention():
    """PyTorch's own dense attention of this version as (name, function of q, k, v)."""
    import torch
    import torch.nn.functional as F
    public = getattr(F, "scaled_dot_product_attention", None)
    if public is not None:
        return "scaled_dot_product_attention", public
    private = getattr(F, "_scaled_dot_product_attention", None)
    if private is None:
        private = torch._C._nn._scaled_dot_product_attention
    # 1.13 returns (output, weights).
    return "_scaled_dot_product_attention", lambda q, k, v: private(q, k, v)[0]


def blas():
    maps = pathlib.Path("/proc/self/maps").read_text(encoding="utf-8")
    return sorted({os.path.realpath(path) for path in re.findall(r"/\S*(?:blas|mkl)\S*\.so\S*", maps)})


def time_torch(run, shape, dtype, repetitions):
    import torch
    torch.manual_seed(1)
    q, k, v = (torch.randn(*shape).to(getattr(torch, DTYPES[dtype])) for _ in range(3))
    seconds = []
    with torch.no_grad():
        run(q, k, v)
        for _ in range(repetitions):
            begin = time.perf_counter()
            run(q, k, v)
            seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def time_ours(sparsify, shape, dtype, threads):
    case = f"attend/{dtype}/{'x'.join(map(str, shape))}/1"
    text = subprocess.run([sparsify, "bench", "--case", case, "--threads", str(threads), "--backend",
                           "cpu", "--seconds", "1", "--json", "--progress", "none"],
                          capture_output=True, text=True, check=True).stdout
    report = json.loads(text)
    [result] = report["results"]
    return report["backend"], result["seconds"], result["share_of_peak"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sparsify", default="sparsify", help="the tool (default: on the PATH)")
    parser.add_argument("--gpu", action="store_true", help="peers on an NVIDIA GPU")
    parser.add_argument("--case", default="", help="with --gpu: only cases with this part")
    parser.add_argument("--seconds", type=float, default=1, help="of timing a case")
    parser.add_argument("--shape", default="1,8,4096,64",
                        help="on a CPU: B,H,N,D of one of sparsify bench's cases (%(default)s)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, help="default: 5, on a GPU 2")
    parser.add_argument("--repetitions", type=int, default=3, help="of PyTorch on a CPU, in a round")
    options = parser.parse_args()
    options.rounds = options.rounds or (2 if options.gpu else 5)
    if options.gpu:
        peers_gpu.main(options)
    else:
        on_cpu(options)


def on_cpu(options):
    import torch
    shape = [int(x) for x in options.shape.split(",")]
    torch.set_num_threads(options.threads)
    name, run = attention()

    rounds, backend = [], ""
    for _ in range(options.rounds):
        for dtype in DTYPES:
            backend, ours, share = time_ours(options.sparsify, shape, dtype, options.threads)
            theirs = time_torch(run, shape, dtype, options.repetitions)
            rounds.append({"dtype": dtype, "ours_seconds": ours, "ours_share_of_peak": share,
                           "peer_seconds": theirs, "ratio": theirs / ours})
    print(json.dumps({
        "peer": f"torch {torch.__version__} {name}",
        "blas": blas(),
        "openblas_coretype": os.environ.get("OPENBLAS_CORETYPE"),
        "ours": backend,
        "shape": shape,
        "threads": options.threads,
        "median_ratio": {dtype: statistics.median(r["ratio"] for r in rounds if r["dtype"] == dtype)
                         for dtype in DTYPES},
        "rounds": rounds,
    }, indent=1))


if __name__ == "__main__":
    main()
