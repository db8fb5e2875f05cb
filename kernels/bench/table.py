#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""One Markdown table of a GPU's results: `sparsify bench`'s JSON, and beside it those of the
portable kernels and of the peers, against the targets of targets.json.

    kernels/bench/table.py bench.json --portable bench-sm80.json --peers peers.json > README-table.md

Rates count kept work. The ceiling of attention is the vendor's bf16 product, that of a mask a copy,
q and k read once. Efficiency is the rate over that of our own dense case. The ratio is our rate over
the best peer's, both from the peers' run.
"""

import argparse
import json
import pathlib

TARGETS = pathlib.Path(__file__).with_name("targets.json")
COLUMNS = ["case", "time, ms", "TFLOP/s", "of ceiling", "efficiency", "best peer", "ratio",
           "portable, ms", "must", "good"]
LOWER_IS_BETTER = {"ms", "share of layer"}


def number(x, digits):
    return "-" if x is None else f"{x:.{digits}f}"


def milliseconds(seconds):
    if seconds is None:
        return "-"
    ms = 1e3 * seconds
    return f"{ms:.4f}" if ms < 1 else f"{ms:.3f}" if ms < 10 else f"{ms:.2f}"


def share_of_layer(result):
    """A mask's time over that of mask and attention together."""
    x = result["seconds_to_attend"]
    return None if x is None else x / (1 + x)


def metrics(result, peer):
    return {
        "ms": None if result["seconds"] is None else 1e3 * result["seconds"],
        "TFLOP/s": None if result["gflops"] is None else 1e-3 * result["gflops"],
        "of ceiling": result["share_of_peak"] if result["share_of_peak"] is not None
                      else result["share_of_copy"],
        "efficiency": result["rate_to_dense"],
        "ratio": peer["ratio"] if peer else None,
        "share of layer": share_of_layer(result),
    }


def verdict(target, tier, values):
    """`<= 0.75 ms: met`"""
    value, wanted, metric = values[target["metric"]], target[tier], target["metric"]
    lower = metric in LOWER_IS_BETTER
    met = None if value is None else value <= wanted if lower else value >= wanted
    text = f"{'<=' if lower else '>='} {wanted:g} {metric}"
    return text + {None: ": -", True: ": met", False: ": missed"}[met]


def row(result, portable, peer, targets):
    values = metrics(result, peer)
    best = peer and peer["best_peer"]
    peer_text = "-"
    if best:
        peer_text = f"{best} {milliseconds(peer['peers'][best]['seconds'])}"
    tiers = ["; ".join(verdict(t, tier, values) for t in targets if tier in t) or "-"
             for tier in ("must", "good")]
    return [result["case"], milliseconds(result["seconds"]), number(values["TFLOP/s"], 1),
            number(values["of ceiling"], 3), number(values["efficiency"], 3), peer_text,
            number(values["ratio"], 2), milliseconds(portable and portable["seconds"]), *tiers]


def heading(bench, targets):
    device, ceilings = bench["device"] or {}, bench["ceilings"]
    product, copy = ceilings["peak_gflops"], ceilings["copy_bytes_per_second"]
    return (f"{device.get('name', bench['backend'])}, driver {device.get('driver') or 'unknown'}, "
            f"{bench['backend']}; ceilings of the same run: product "
            f"{number(product and 1e-3 * product, 0)} TFLOP/s, copy "
            f"{number(copy and 1e-12 * copy, 2)} TB/s. Targets in ms and TFLOP/s "
            f"are for an {targets['device']}.")


def table(bench, portable, peers, targets):
    of_portable = {r["case"]: r for r in portable["results"]} if portable else {}
    of_peers = {c["case"]: c for c in peers["cases"]} if peers else {}
    names = {r["case"] for r in bench["results"]}
    rows = [COLUMNS] + [
        row(r, of_portable.get(r["case"]), of_peers.get(r["case"]),
            [t for t in targets["targets"] if t["case"] == r["case"]]) for r in bench["results"]]
    widths = [max(len(r[i]) for r in rows) for i in range(len(COLUMNS))]
    # The first column is text, and so are the peer and the targets.
    right = [name not in ("case", "best peer", "must", "good") for name in COLUMNS]

    def line(cells):
        return "| " + " | ".join(c.rjust(w) if r else c.ljust(w)
                                 for c, w, r in zip(cells, widths, right)) + " |"
    rule = "| " + " | ".join("-" * (w - 1) + ":" if r else "-" * w
                             for w, r in zip(widths, right)) + " |"
    lines = [heading(bench, targets), "", line(rows[0]), rule, *map(line, rows[1:])]
    absent = sorted({r["absent"] for r in bench["results"] if r["absent"]})
    if absent:
        lines += ["", "Not to be had here: " + "; ".join(absent) + "."]
    unknown = sorted({t["case"] for t in targets["targets"]} - names)
    if unknown:
        lines += ["", "Targets of cases that were not run: " + ", ".join(unknown) + "."]
    return "\n".join(lines) + "\n"


def load(path):
    return json.loads(pathlib.Path(path).read_text(encoding="utf-8")) if path else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bench", help="JSON of sparsify bench --backend cuda")
    parser.add_argument("--portable", help="the same with --isa sm_80")
    parser.add_argument("--peers", help="JSON of peers.py --gpu")
    parser.add_argument("--targets", default=TARGETS)
    options = parser.parse_args()
    print(table(load(options.bench), load(options.portable), load(options.peers),
                load(options.targets)), end="")


if __name__ == "__main__":
    main()
