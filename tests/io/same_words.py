#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The layout is written down above the code and in suffice-tensor(5), in the same words: every
sentence of the header's first comment, from the word START on, is in the manual.
Usage: same_words.py HEADER PAGE START. Exit 77: mandoc is absent."""
import re
import shutil
import subprocess
import sys


def words(text):
    return " ".join(re.findall(r"[a-z0-9_@]+", text.lower()))


def main():
    if shutil.which("mandoc") is None:
        print("skipped: no mandoc")
        return 77
    header, page, start = sys.argv[1:]
    comment = open(header, encoding="utf-8").read().split("#pragma once")[0]
    text = " ".join(line[2:].strip() for line in comment.splitlines())
    text = text[text.index(start):]
    manual = words(re.sub(r".\x08", "", subprocess.run(
        ["mandoc", "-Tutf8", "-Owidth=1000", page], check=True, capture_output=True,
        text=True).stdout))
    missing = [s for s in re.split(r"[.;:](?=\s|$)", text) if words(s) and words(s) not in manual]
    for sentence in missing:
        print(f"not in {page}: {sentence.strip()}")
    return 1 if missing else 0


sys.exit(main())
