#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every shipped config and every one of examples/objects loads, and what --print-config says of it
loads to the same. The first line of a config names its command: "# distill pretrain: ...".
Usage: configs.py REPOSITORY BIN"""
import pathlib
import re
import subprocess
import sys
import tempfile


def resolved(binaries, tool, verb, config):
    run = subprocess.run([binaries / tool, verb, "-c", config, "--print-config"],
                         capture_output=True, text=True, check=False)
    if run.returncode != 0:
        return None, run.stderr.strip()
    return run.stdout, ""


def values(text):
    """The resolved document without the origins in its comments."""
    return [re.sub(r"\s+# .*$", "", line) for line in text.splitlines()]


def main():
    root, binaries = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    problems, seen = [], 0
    shipped = sorted(root.glob("configs/*/*.yaml"))
    for config in shipped + sorted(root.glob("examples/objects/**/*.yaml")):
        path = config.relative_to(root)
        first = config.read_text(encoding="utf-8").splitlines()[0]
        named = re.match(r"# (\w+) (\w+): \S", first)
        tool = config.parent.name if config in shipped else "TOOL"
        if not named or tool not in ("TOOL", named[1]):
            problems.append(f"{path}: the first line is not '# {tool} VERB: what for'")
            continue
        seen += 1
        text, error = resolved(binaries, named[1], named[2], config)
        if text is None:
            problems.append(f"{path}: {error}")
            continue
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as again:
            again.write(text)
            again.flush()
            second, error = resolved(binaries, named[1], named[2], again.name)
        if second is None or values(second) != values(text):
            problems.append(f"{path}: --print-config does not load to the same: {error}")
    print("\n".join(problems) or f"{seen} configs load")
    return 1 if problems or seen == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
