#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a user would run instead on a CPU: PyTorch's dense attention, timed for comparison.

Prints one JSON object a line. Debian's PyTorch 1.13 keeps scaled_dot_product_attention private and
unfused; later ones make it public. Run it beside `sparsify bench` on the same quiet machine:

    /usr/bin/python3 kernels/bench/peers.py --threads 2 --repetitions 5
"""

import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as F


def attention():
    """PyTorch's own dense attention of this version as (name, function of q, k, v)."""
    public = getattr(F, "scaled_dot_product_attention", None)
    if public is not None:
        return "scaled_dot_product_attention", public
    private = getattr(F, "_scaled_dot_product_attention", None)
    if private is None:
        private = torch._C._nn._scaled_dot_product_attention
    # 1.13 returns (output, weights).
    return "_scaled_dot_product_attention", lambda q, k, v: private(q, k, v)[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", default="1,8,4096,64", help="B,H,N,D (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    batch, heads, tokens, dim = (int(x) for x in options.shape.split(","))
    torch.set_num_threads(options.threads)
    name, run = attention()

    for dtype, label in ((torch.bfloat16, "bf16"), (torch.float32, "f32")):
        torch.manual_seed(1)
        q, k, v = (torch.randn(batch, heads, tokens, dim).to(dtype) for _ in range(3))
        seconds = []
        with torch.no_grad():
            run(q, k, v)
            for _ in range(options.repetitions):
                begin = time.perf_counter()
                run(q, k, v)
                seconds.append(time.perf_counter() - begin)
        median = statistics.median(seconds)
        print(json.dumps({
            "peer": f"torch {torch.__version__} {name}",
            "dtype": label,
            "shape": [batch, heads, tokens, dim],
            "threads": options.threads,
            "seconds": median,
            "gflops": 4.0 * dim * batch * heads * tokens**2 / median * 1e-9,
            "repetitions": options.repetitions,
        }), flush=True)


if __name__ == "__main__":
    main()
