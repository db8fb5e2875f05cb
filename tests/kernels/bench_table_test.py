#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kernels/bench/table.py and what peers_gpu.py computes without a GPU. Usage:
bench_table_test.py REPOSITORY SPARSIFY"""
import json
import pathlib
import subprocess
import sys
import unittest

ROOT, SPARSIFY = pathlib.Path(sys.argv[1]), sys.argv[2]
sys.path.insert(0, str(ROOT / "kernels/bench"))
import peers_gpu  # noqa: E402
import table  # noqa: E402

TARGETS = json.loads((ROOT / "kernels/bench/targets.json").read_text(encoding="utf-8"))


def result(case, **fields):
    keys = ["seconds", "gflops", "share_of_peak", "share_of_copy", "rate_to_dense",
            "seconds_to_attend", "absent"]
    return {"case": case, **dict.fromkeys(keys), **fields}


SAMPLE = {
    "backend": "cuda sm_90a",
    "device": {"name": "NVIDIA H100 80GB HBM3", "driver": "580.1"},
    "ceilings": {"peak_gflops": 700e3, "copy_bytes_per_second": 2.9e12},
    "results": [
        result("attend/bf16/1x12x32760x128/1", seconds=0.0103, gflops=640e3, share_of_peak=0.914),
        result("attend/bf16/1x12x32760x128/0.05", seconds=0.0008, gflops=420e3,
               share_of_peak=0.6, rate_to_dense=0.656),
        result("select_fused/bf16/1x12x32760x128/0.05/hybrid", seconds=2e-5,
               seconds_to_attend=0.025),
        result("pool/bf16/1x12x32760x128/0.05/hybrid", absent="pool: not in this build"),
    ],
}
PEERS = {"cases": [{"case": "attend/bf16/1x12x32760x128/1", "best_peer": "cudnn", "ratio": 1.25,
                    "peers": {"cudnn": {"seconds": 0.0129}}}]}


class Table(unittest.TestCase):
    def rows(self, text):
        cells = [[c.strip() for c in line.strip("|").split("|")]
                 for line in text.splitlines() if line.startswith("| ")]
        return {c[0]: dict(zip(table.COLUMNS, c)) for c in cells}

    def test_sets_results_against_targets_and_peers(self):
        portable = {"results": [result("attend/bf16/1x12x32760x128/1", seconds=0.03)]}
        text = table.table(SAMPLE, portable, PEERS, TARGETS)
        self.assertIn("NVIDIA H100 80GB HBM3, driver 580.1, cuda sm_90a", text)
        self.assertIn("for an NVIDIA H200", text)
        rows = self.rows(text)
        dense = rows["attend/bf16/1x12x32760x128/1"]
        self.assertEqual(dense["time, ms"], "10.30")
        self.assertEqual(dense["TFLOP/s"], "640.0")
        self.assertEqual(dense["of ceiling"], "0.914")
        self.assertEqual(dense["best peer"], "cudnn 12.90")
        self.assertEqual(dense["ratio"], "1.25")
        self.assertEqual(dense["portable, ms"], "30.00")
        self.assertEqual(dense["must"], ">= 0.95 ratio: met")
        self.assertEqual(dense["good"], ">= 620 TFLOP/s: met")
        sparse = rows["attend/bf16/1x12x32760x128/0.05"]
        self.assertEqual(sparse["must"], ">= 1.35 ratio: -; >= 0.86 efficiency: missed")
        self.assertEqual(sparse["good"], "<= 0.59 ms: missed")
        mask = rows["select_fused/bf16/1x12x32760x128/0.05/hybrid"]
        self.assertEqual(mask["must"], "<= 0.03 ms: met")
        self.assertEqual(mask["good"], "<= 0.015 ms: missed")
        absent = rows["pool/bf16/1x12x32760x128/0.05/hybrid"]
        self.assertEqual(set(absent.values()) - {absent["case"]}, {"-"})
        self.assertIn("pool: not in this build", text)

    def test_needs_neither_peers_nor_a_portable_run(self):
        self.assertIn("| -", table.table(SAMPLE, None, None, {"device": "x", "targets": []}))

    def test_reads_what_sparsify_writes(self):
        text = subprocess.run(
            [SPARSIFY, "bench", "--backend", "cpu", "--case", "attend/bf16/1x8x4096x64/0.05",
             "--seconds", "0", "--json", "--progress", "none"],
            stdout=subprocess.PIPE, text=True, check=True).stdout
        report = json.loads(text)
        [row] = [r for name, r in self.rows(table.table(report, None, None, TARGETS)).items()
                 if name.startswith("attend/")]
        self.assertNotEqual(row["time, ms"], "-")
        self.assertNotEqual(row["TFLOP/s"], "-")


class Targets(unittest.TestCase):
    def test_are_of_known_metrics_and_ordered(self):
        known = table.metrics(SAMPLE["results"][0], None)
        for t in TARGETS["targets"]:
            self.assertIn(t["metric"], known)
            lower = t["metric"] in table.LOWER_IS_BETTER
            self.assertTrue("good" in t or "must" in t, t)
            if "good" in t and "must" in t:
                self.assertTrue(t["good"] <= t["must"] if lower else t["good"] >= t["must"], t)


class Peers(unittest.TestCase):
    def test_counts_flops_of_kept_pairs(self):
        shape = (1, 2, 1000, 64)
        self.assertEqual(peers_gpu.flops("attend", shape, 10), 2560)
        self.assertEqual(peers_gpu.flops("attend_backward", shape, 10), 6400)
        self.assertEqual(peers_gpu.kept_blocks(0.05, 256), 13)
        self.assertEqual(peers_gpu.kept_blocks(0.001, 256), 1)

    def test_takes_medians_and_the_best_peer(self):
        def one(name, ours, cudnn):
            return {"case": name, "ours": {"seconds": 1 / ours, "gflops": ours},
                    "peers": {"cudnn": {"seconds": 1 / cudnn, "gflops": cudnn},
                              "flash": {"absent": "RuntimeError: no"}}}
        [case] = peers_gpu.summarise([one("a", 10, 8), one("a", 14, 10), one("a", 12, 9)])
        self.assertEqual(case["best_peer"], "cudnn")
        self.assertAlmostEqual(case["ratio"], 12 / 9)
        self.assertEqual(case["peers"]["flash"], {"absent": "RuntimeError: no"})

    def test_names_cases_as_sparsify_does(self):
        names = [peers_gpu.case_name(*c) for c in peers_gpu.CASES]
        self.assertIn("attend_backward/bf16/1x12x32760x128/0.05", names)
        self.assertIn("attend/bf16/4x16x16384x64/1", names)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
