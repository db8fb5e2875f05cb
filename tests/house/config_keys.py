#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The key tables of man/suffice-config.5 against the code's own description of its configs.
Usage: config_keys.py PAGE PRINT_KEYS [--update]; --update writes the tables into the page."""
import difflib
import pathlib
import re
import subprocess
import sys

TABLE = re.compile(r'^\.\\" keys of (.+?)\n.*?^\.\\" end of keys\n', re.M | re.S)


def tables(text):
    return {match[1]: match[0] for match in TABLE.finditer(text)}


def main():
    page = pathlib.Path(sys.argv[1])
    text = page.read_text(encoding="utf-8")
    code = tables(subprocess.run([sys.argv[2]], capture_output=True, text=True, check=True).stdout)
    manual = tables(text)
    if "--update" in sys.argv:
        page.write_text(TABLE.sub(lambda m: code.get(m[1], ""), text), encoding="utf-8")
        manual = tables(page.read_text(encoding="utf-8"))
    problems = [f"{name}: has no table in {page.name}" for name in code if name not in manual]
    problems += [f"{name}: has a table, but no such command has keys" for name in manual
                 if name not in code]
    for name in code:
        if name in manual and manual[name] != code[name]:
            problems += difflib.unified_diff(manual[name].splitlines(), code[name].splitlines(),
                                             f"{page.name}, {name}", f"code, {name}", lineterm="")
    if problems:
        print("\n".join(problems))
        print(f"(update the page with: {' '.join(sys.argv[:3])} --update)")
        return 1
    print(f"{page.name}: {len(code)} tables agree with the code")
    return 0


if __name__ == "__main__":
    sys.exit(main())
