#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tables as Markdown, each beside the cells of the paper and with what differs.
Usage: markdown.py FOLDER, which has tableN.json of collect.py"""
import json
import pathlib
import sys

MODEL = ("one small class-conditional video model of real footage in place of Wan 2.1 1.3B and 14B; "
         "no VBench, VisionReward or DOVER scores but distances in the features of a classifier of "
         "our own; `e` is sum |u - u_dense|^2 / sum |u_dense|^2 over held-out draws, FD and SW are "
         "against held-out clips, and so are biased upwards alike at this many samples")

# Of SpargeAttention2 (arXiv 2602.13515): title, its cells, what differs.
PAPER = {
    "1_model": ("Table 1 on captured rows: relative L1 at equal density", """
| paper (two maps of Wan 2.1) | top-k | top-p | hybrid |
| --- | ---: | ---: | ---: |
| near-uniform row | 0.4150 | 0.3726 | 0.3707 |
| skewed row | 0.1664 | 0.2160 | 0.1671 |
""", "quarters of all block rows by the entropy of their pooled map (1/4 the most skewed, entropy "
         "over that of a uniform row) instead of two hand-picked maps. Above, every rule has in that "
         "quarter the density that top-k has, each quarter a p of its own, as if it were alone; "
         "below, one p serves all rows, so that the density is equal over all of them. Both are "
         "interpolated between the settings of a sweep. Seeds are draws of the captured clips; the "
         "model is one."),
    "2": ("Table 2 and Fig. 3: does attention concentrate under sparse training?", """
| paper (one map) | before | after |
| --- | ---: | ---: |
| density at 60 % mass | 0.487 | 0.431 |
| L1 at that point | 0.4901 | 0.4119 |
""", "all rows of all layers and heads of the sparse model instead of one map. `top-p 0.6` is the "
         "rule's own pooled mass; `mass` is that of the true softmax. `trained setting` is what the "
         "student was trained for. Before and after are paired by seed (training and captured draws)."),
    "3": ("Table 3: tuning on data that is not the pre-training data", """
| paper (1.3B) | AQ | VQA-a |
| --- | ---: | ---: |
| full attention, untouched | 64.41 | 81.28 |
| full attention, diffusion loss | 61.83 | 75.45 |
""", MODEL + ". e and FD are against the untouched model and its own held-out data; the other data "
         "are close-ups of the same classes at another speed. The paper tunes full attention alone; "
         "the sparse rows have the same steps."),
    "4": ("Tables 4 and 5: dense, training-free, and each rule trained", """
| paper (1.3B, 480p) | sparsity | IQ | OC | AQ | VR | VQA-a | VQA-t | attention s | end to end s |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| full | 0 | 63.67 | 20.27 | 64.41 | 0.1084 | 81.28 | 85.80 | 97 | 159 |
| SpargeAttention2 | 95 % | 67.68 | 21.57 | 65.05 | 0.1010 | 83.86 | 87.73 | 6 | 68 |

14B, 720p: full attention 2,550 s of 3,043 s; SpargeAttention2 157 s of 650 s.
""", MODEL + ". The paper's baselines (VMoBA, VSA, SLA, SpargeAttn) are not run. Sequences are "
         "shorter than the paper's 32,760 tokens, and so times say little about those. "
         "`attention s`: all layers of one forward pass, pooling and selection included, each step "
         "timed by the host; `forward s`: one pass of one clip; `sampling s`: all samples of a seed; "
         "`training step s`: between the first and last reported step, teacher included."),
    "6": ("Table 6: rule x loss", """
| paper (1.3B, 480p) | IQ | OC | AQ | VR | VQA |
| --- | ---: | ---: | ---: | ---: | ---: |
| hybrid, velocity | 67.68 | 21.57 | 65.05 | 0.1010 | 86.73 |
| top-k, velocity (95 %) | 65.84 | 21.51 | 64.57 | 0.0916 | 86.90 |
| top-p, velocity (94 %) | 60.56 | 21.12 | 60.12 | 0.0312 | 62.57 |
| hybrid, training-free | 53.18 | - | 48.93 | - | 20.40 |
| hybrid, diffusion loss | 67.23 | - | 63.34 | - | 85.05 |
""", MODEL + ". The densities of all rules are equal before training, on a capture of the dense "
         "model; the column says what they are afterwards. The diffusion loss has the "
         "model's own pre-training data here; Table 3 has other data."),
    "7": ("Beyond the paper: token orders at equal error, rankings at equal density", "",
          "no cells of the paper. Above: top-k, the density that an order needs for a mean relative "
          "L1, on a straight line between the settings of a sweep; the model was trained without "
          "sparsity. Below: `mass` is the recall of the true block mass, `oracle` its ceiling for "
          "top-k."),
}


def number(cell):
    if cell["mean"] is None:
        return "-"
    text = f"{cell['mean']:.4g}"
    if cell["interval"]:
        text += f" [{cell['interval'][0]:.4g}, {cell['interval'][1]:.4g}]"
    return text


def grid(rows, key):
    """A table, on its side when it has more columns than a page."""
    rows = [r for r in rows if key in r]
    if not rows:
        return ""
    columns = list(rows[0][key])
    head, body = [r["name"] for r in rows], [
        [column] + [number(r[key][column]) for r in rows] for column in columns]
    lines = ["| | " + " | ".join(head) + " |", "| --- |" + " ---: |" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(line) + " |" for line in body]) + "\n"


def part(result):
    text = "\n" + grid(result["rows"], "cells")
    if any("differences" in r for r in result["rows"]):
        text += f"\nMinus {result['differences_to']}, paired by seed:\n\n"
        text += grid(result["rows"], "differences")
    return text


def main():
    folder = pathlib.Path(sys.argv[1])
    found = [t for t in PAPER if (folder / f"table{t}.json").exists()]
    print("Means over seeds with Student's 95 % intervals over them; - is not measured, or outside "
          "of what was swept.")
    for table in found:
        result = json.loads((folder / f"table{table}.json").read_text(encoding="utf-8"))
        title, cells, differs = PAPER[table]
        print(f"\n## {title}\n\n{len(result['seeds'])} seeds; `{result['settings']}`.\n"
              f"{part(result)}{part(result['second']) if 'second' in result else ''}{cells}\n"
              f"What differs: {differs}")


if __name__ == "__main__":
    main()
