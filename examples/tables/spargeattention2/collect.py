#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the tools wrote under OUT/work as OUT/results/tableN.json and .tsv: every cell with its value
at each seed, their mean and Student's 95 % interval over seeds.
  collect.py table TABLE OUT
For common.sh: collect.py bracket|p RULE TARGET.tsv SWEEP.tsv; collect.py resolution|classes <
inspect.json; collect.py check CAPTURE.json DENSITY HYBRID_K"""
import csv
import json
import math
import pathlib
import sys

# 97.5 % points of Student's distribution by degrees of freedom.
STUDENT = [None, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262]
RULES = ("topk", "topp", "hybrid")


def interval(values):
    if len(values) < 2 or len(values) > len(STUDENT):
        return None
    mean = sum(values) / len(values)
    deviation = math.sqrt(sum((x - mean) ** 2 for x in values) / (len(values) - 1))
    half = STUDENT[len(values) - 1] * deviation / math.sqrt(len(values))
    return [mean - half, mean + half]


def cell(values):
    """None at any seed: not measured, or not between two points of a sweep; then there is no mean."""
    if not values or any(v is None for v in values):
        return {"values": values, "mean": None, "interval": None}
    return {"values": values, "mean": sum(values) / len(values), "interval": interval(values)}


def difference(a, b):
    """Of two cells, paired by seed."""
    if a["mean"] is None or b["mean"] is None:
        return cell([])
    return cell([x - y for x, y in zip(a["values"], b["values"])])


def read_sweep(path):
    with open(path, encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    for row in rows:
        for key in row:
            if key not in ("order", "rule", "k", "p", "scores", "rows"):
                row[key] = float(row[key]) if row[key] != "-" else None
    return rows


def at(points, x):
    """y at x on the line through the two neighbours of x among points (x, y); None outside."""
    points = sorted(points)
    for (x0, y0), (x1, y1) in zip(points, points[1:]):
        if x0 <= x <= x1:
            return y0 if x1 == x0 else y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    return points[0][1] if points and points[0][0] == x else None


def overall(path, rule):
    return [r for r in read_sweep(path) if r["rule"] == rule and r["rows"] == "all"]


# --- what common.sh asks ---------------------------------------------------------------------------


def calibration(what, rule, target_path, path):
    """p of `rule` where it keeps what top-k keeps; or nine p's between its neighbours."""
    target = overall(target_path, "topk")[0]["density"]
    points = sorted((float(r["p"]), r["density"]) for r in overall(path, rule))
    low = max((p for p, d in points if d <= target), default=points[0][0])
    high = min((p for p, d in points if d >= target), default=points[-1][0])
    if what == "p":
        found = at([(d, p) for p, d in points], target)
        if found is None:
            densities = [d for _, d in points]
            sys.exit(f"collect.py: {path}: rule {rule} keeps {min(densities):.6f} to "
                     f"{max(densities):.6f}, top-k {target:.6f}: no p between two rows has that")
        return f"{found:.6f}"
    if high <= low:
        low, high = 0.9 * low, min(1.0, 1.1 * low)
    return ",".join(f"{low + (high - low) * i / 8:.6f}" for i in range(9))


def resolution():
    attributes = json.load(sys.stdin)["attributes"]
    for group in attributes.values():
        if isinstance(group, dict) and "resolution" in group:
            return " ".join(str(x) for x in group["resolution"])
    raise SystemExit("collect.py: the model says no resolution")


def classes():
    """Of a dataset."""
    return next(t["shape"][0] for t in json.load(sys.stdin)["tensors"] if t["name"] == "/classes")


def check(capture, density, hybrid_k):
    """Short sequences have few key blocks, and a hybrid rule whose k keeps one block is top-p."""
    tokens = json.loads(pathlib.Path(capture).read_text(encoding="utf-8"))["tokens"]
    blocks = -(-tokens // 64)
    top_k, hybrid = (max(1, math.floor(float(k) * blocks + 0.5)) for k in (density, hybrid_k))
    if not 2 <= hybrid < top_k < blocks:
        sys.exit(f"DENSITY={density}: of {blocks} key blocks top-k keeps {top_k}, k of the hybrid rule "
                 f"{hybrid}; at least two, and fewer than top-k, are wanted: a larger DENSITY")


# --- tables ----------------------------------------------------------------------------------------


class Work:
    def __init__(self, out):
        self.out = pathlib.Path(out)
        self.work = self.out / "work"
        settings = (self.out / "settings").read_text(encoding="utf-8").strip()
        self.settings = settings
        self.seeds = settings.split("SEEDS=")[1].split(" STEPS=")[0].split()

    def json(self, name):
        path = self.work / name
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def sweep(self, name):
        return read_sweep(self.work / (name + ".tsv"))

    def over_seeds(self, function):
        return cell([function(seed) for seed in self.seeds])


def rule_rows(w, seed, rule):
    name = "coarse-hybrid-dense-" if rule == "hybrid" else "coarse-dense-"
    return [r for r in w.sweep(name + seed) if r["rule"] == rule]


def at_density(w, seed, rule, group, column, by):
    """`column` of a group of rows where the group `by` has the density that top-k has in it: by the
    group itself, each with a p of its own, or by all rows, one p for every group."""
    rows = rule_rows(w, seed, rule)
    densities = {r["p"]: r["density"] for r in rows if r["rows"] == by}
    target = next(r["density"] for r in rule_rows(w, seed, "topk") if r["rows"] == by)
    return at([(densities[r["p"]], r[column]) for r in rows if r["rows"] == group], target)


def table1_model(w):
    def part(one_setting):
        rows = []
        for group in ("1/4", "2/4", "3/4", "4/4", "all"):
            cells = {"entropy": w.over_seeds(lambda s, group=group: next(
                r["entropy"] for r in rule_rows(w, s, "topk") if r["rows"] == group))}
            for column, key in (("density", "density"), ("L1", "rel_l1"), ("mass", "mass_mean")):
                for rule in RULES:
                    cells[f"{column} {rule}"] = w.over_seeds(
                        lambda s, rule=rule, key=key, group=group: at_density(
                            w, s, rule, group, key, "all" if one_setting else group))
            for other in ("topk", "topp"):
                cells[f"L1 hybrid - {other}"] = difference(cells["L1 hybrid"], cells[f"L1 {other}"])
            rows.append({"name": f"rows {group}", "cells": cells})
        return {"rows": rows, "differences_to": None}
    return part(False) | {"second": part(True)}


def trained_row(w, name, seed):
    """The line of the attention sweep that has the trained setting: the last one."""
    return w.sweep(f"attention-{name}-{seed}")[-1]


def table2(w):
    rows = []
    for name, title in (("free-hybrid", "before training"), ("hybrid-velocity", "after training")):
        def curve(seed, x, y, name=name):
            return [(r[x], r[y]) for r in w.sweep(f"concentration-{name}-{seed}")]
        def operating(seed, column, name=name):
            return [r[column] for r in w.sweep(f"concentration-{name}-{seed}")
                    if float(r["p"]) == 0.6][0]
        cells = {"density at top-p 0.6": w.over_seeds(lambda s: operating(s, "density")),
                 "mass at top-p 0.6": w.over_seeds(lambda s: operating(s, "mass_mean")),
                 "L1 at top-p 0.6": w.over_seeds(lambda s: operating(s, "rel_l1")),
                 "density at mass 0.6": w.over_seeds(lambda s: at(curve(s, "mass_mean", "density"), 0.6)),
                 "L1 at mass 0.6": w.over_seeds(lambda s: at(curve(s, "mass_mean", "rel_l1"), 0.6))}
        for column, key in (("density", "density"), ("mass", "mass_mean"), ("L1", "rel_l1")):
            cells[f"{column}, trained setting"] = w.over_seeds(
                lambda s, key=key, name=name: trained_row(w, name, s)[key])
        rows.append({"name": title, "cells": cells})
    return {"rows": rows, "differences_to": "before training"}


def score(w, kind, name, seed, which):
    report = w.json(f"{kind}-{name}-{seed}.json")
    found = [s for s in report["scores"] if s["name"] == which] if report else []
    return found[0]["value"] if found else None


def step_seconds(w, name, seed):
    """Between the first and the last step line of a training."""
    path = w.work / f"{name}-{seed}.json.log"
    events = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()
              if line.startswith("{")] if path.exists() else []
    steps = [e for e in events if "gradient_norm" in e]
    if len(steps) < 2 or steps[-1]["done"] == steps[0]["done"]:
        return None
    return ((steps[-1]["seconds"] - steps[0]["seconds"]) / (steps[-1]["done"] - steps[0]["done"]))


def quality(w, name):
    def evaluated(seed, column):
        if name == "dense":
            return {"e": 0.0, "density": 1.0}[column]
        return w.json(f"evaluate-{name}-{seed}.json")["settings"][0][column]
    cells = {"density": w.over_seeds(lambda s: evaluated(s, "density")),
             "e": w.over_seeds(lambda s: evaluated(s, "e"))}
    for title, kind, which in (("FD", "compare", "frechet"),
                               ("SW, patches", "compare", "patch_sliced_wasserstein_2"),
                               ("flicker ratio", "compare", "flicker_ratio"),
                               ("class agreement", "compare", "class_agreement"),
                               ("PSNR to dense", "pair", "psnr")):
        cells[title] = w.over_seeds(
            lambda s, kind=kind, which=which: score(w, kind, name, s, which))
    return cells


def forward_seconds(w, name, seed):
    if name != "dense":
        return w.json(f"evaluate-{name}-{seed}.json")["settings"][0]["seconds"]
    return w.json(f"evaluate-free-hybrid-{seed}.json")["settings"][-1]["seconds"]


def attention_seconds(w, name, seed):
    source = "free-hybrid" if name == "dense" else name
    units = w.json(f"capture-{source}-{seed}.json")["units"]
    row = trained_row(w, source, seed)
    return row["dense_seconds" if name == "dense" else "seconds"] / units


def table4(w):
    rows = []
    for name, title in (("dense", "dense"), ("free-hybrid", "hybrid, training-free"),
                        ("topk-velocity", "top-k, trained"), ("topp-velocity", "top-p, trained"),
                        ("hybrid-velocity", "hybrid, trained")):
        cells = quality(w, name)
        cells["attention s"] = w.over_seeds(lambda s, name=name: attention_seconds(w, name, s))
        cells["forward s"] = w.over_seeds(lambda s, name=name: forward_seconds(w, name, s))
        cells["sampling s"] = w.over_seeds(
            lambda s, name=name: w.json(f"sample-{name}-{s}.json")["seconds"])
        cells["training step s"] = w.over_seeds(lambda s, name=name: step_seconds(w, name, s))
        rows.append({"name": title, "cells": cells})
    return {"rows": rows, "differences_to": "hybrid, trained"}


def table3(w):
    rows = []
    for name, title in (("dense", "dense, untouched"),
                        ("full-diffusion-other", "full attention, diffusion loss"),
                        ("hybrid-diffusion-other", "hybrid, diffusion loss"),
                        ("hybrid-velocity-other", "hybrid, velocity distillation")):
        cells = quality(w, name)
        cells["FD to the other data"] = w.over_seeds(
            lambda s, name=name: score(w, "other", name, s, "frechet"))
        rows.append({"name": title, "cells": cells})
    return {"rows": rows, "differences_to": "dense, untouched"}


def table6(w):
    rows = []
    for rule in ("hybrid", "topk", "topp"):
        for kind, title in (("velocity", "velocity"), ("diffusion", "diffusion loss"),
                            ("free", "training-free")):
            name = f"free-{rule}" if kind == "free" else f"{rule}-{kind}"
            rows.append({"name": f"{rule}, {title}", "cells": quality(w, name)})
    return {"rows": rows, "differences_to": "hybrid, velocity"}


def table7(w):
    rows = []
    for order in ("raster", "tiles", "hilbert"):
        cells = {}
        for error in (0.1, 0.2, 0.3, 0.4):
            cells[f"density at L1 {error}"] = w.over_seeds(
                lambda s, error=error, order=order: at(
                    [(r["rel_l1"], r["density"]) for r in w.sweep("orders-dense-" + s)
                     if r["order"] == order], error))
        rows.append({"name": order, "cells": cells})
    ranked = []
    for scores in ("mean", "cumulant", "oracle"):
        cells = {}
        for r in w.sweep("scores-dense-" + w.seeds[0]):
            if r["scores"] != "mean":
                continue
            for column, key in (("mass", "mass_mean"), ("L1", "rel_l1")):
                cells[f"{column} at {r['density']:.3f}"] = w.over_seeds(
                    lambda s, k=r["k"], key=key, scores=scores: [
                        x[key] for x in w.sweep("scores-dense-" + s)
                        if x["scores"] == scores and x["k"] == k][0])
        ranked.append({"name": scores, "cells": cells})
    return {"rows": rows, "differences_to": "raster",
            "second": {"rows": ranked, "differences_to": "mean"}}


def with_differences(part):
    base = [r for r in part["rows"] if r["name"] == part["differences_to"]]
    for row in part["rows"] if base else []:
        if row is not base[0]:
            row["differences"] = {c: difference(row["cells"][c], base[0]["cells"][c])
                                  for c in row["cells"]}
    return part


def write(table, out):
    w = Work(out)
    result = {"table": table, "settings": w.settings, "seeds": w.seeds}
    result |= with_differences(globals()["table" + table](w))
    if "second" in result:
        with_differences(result["second"])
    lines = ["row\tcolumn\tmean\tlow\thigh\tvalues\n"]
    for row in result["rows"] + result.get("second", {"rows": []})["rows"]:
        for column, c in row["cells"].items():
            low, high = c["interval"] or ("", "")
            values = " ".join("" if v is None else f"{v:.6g}" for v in c["values"])
            numbers = [f"{x:.6g}" if isinstance(x, float) else ""
                       for x in (c["mean"], low, high)]
            lines.append("\t".join([row["name"], column, *numbers, values]) + "\n")
    for suffix, text in (("json", json.dumps(result, indent=1) + "\n"), ("tsv", "".join(lines))):
        path = w.out / "results" / f"table{table}.{suffix}"
        path.with_suffix(".part").write_text(text, encoding="utf-8")
        path.with_suffix(".part").replace(path)


def main():
    if sys.argv[1:2] == ["table"] and len(sys.argv) == 4:
        write(sys.argv[2], sys.argv[3])
    elif sys.argv[1:2] in (["bracket"], ["p"]) and len(sys.argv) == 5:
        print(calibration(*sys.argv[1:]))
    elif sys.argv[1:] in (["resolution"], ["classes"]):
        print(globals()[sys.argv[1]]())
    elif sys.argv[1:2] == ["check"] and len(sys.argv) == 5:
        check(*sys.argv[2:])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
