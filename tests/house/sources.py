#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The rules of the source tree: includes only look down, each third-party library has its home,
files stay readable. Usage: sources.py REPOSITORY"""
import pathlib
import re
import sys

# Lowest first; folders of one level do not see each other.
LEVELS = [
    ["lib/base"],
    ["kernels"],
    ["lib/tensor"],
    ["lib/io", "lib/config", "lib/stats"],
    ["lib/ledger", "lib/nn"],
    ["lib/policy"],
    ["lib/run", "lib/model"],
    ["lib/sparsify", "lib/distill", "lib/generate", "lib/calibrate", "lib/audit"],
    ["tools"],
]
LEVEL = {folder: level for level, folders in enumerate(LEVELS) for folder in folders}
BACKENDS = ["kernels/ref", "kernels/cpu", "kernels/cuda"]  # neighbours inside kernels

# Headers that only these places may see.
HOMES = {
    r"hdf5(_hl)?\.h|H5\w*\.h": ["lib/io"],
    r"yaml-cpp/.*": ["lib/config"],
    r"boost/.*": ["lib/stats"],
    r"(unsupported/)?Eigen/.*": ["lib/stats"],
    r"openssl/.*": ["lib/base/digest", "lib/ledger"],
    r"CLI/.*": ["tools/cli"],
    r"(cuda|cublas|cublasLt|cudnn)\w*\.h|cuda/.*": ["kernels/cuda"],
    r"(oneapi/)?dnnl.*": ["kernels/cpu"],
    r"stb.*|zlib\.h": ["lib/io"],
    r"xxhash\.h": ["lib/base/digest"],
    r"gtest/.*|gmock/.*": [],  # tests alone, which are not looked at for this
}
MAX_LINES = 800
SOURCES = {".cc", ".h", ".cu", ".cuh", ".c"}
SCRIPTS = {".py", ".sh", ".bats", ".cmake"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def folder_of(path):
    """The layer that a path of the repository belongs to, or None."""
    for folder in LEVEL:
        if path.startswith(folder + "/"):
            return folder
    return None


def backend_of(path):
    return next((b for b in BACKENDS if path.startswith(b + "/")), None)


def check_layer(path, included, complain):
    source, target = folder_of(path), folder_of(included)
    if source is None:
        return  # tests see everything
    if target is None:
        complain(f"includes {included}, which is in no layer")
    elif source != target and LEVEL[target] >= LEVEL[source]:
        complain(f"includes {included}: {source} may not see {target}")
    elif backend_of(path) and backend_of(included) not in (None, backend_of(path)):
        complain(f"includes {included}: backends do not see each other")


def check_home(path, included, complain):
    for pattern, homes in HOMES.items():
        if re.fullmatch(pattern, included) and not any(path.startswith(h) for h in homes):
            complain(f"includes <{included}>, which belongs to {' and '.join(homes) or 'tests'}")


def check_source(root, path, text, complain):
    if not text.startswith("// SPDX-License-Identifier: Apache-2.0\n"):
        complain("the first line is not the SPDX identifier")
    if path.endswith((".h", ".cuh")) and not path.endswith("-inl.h") and "#pragma once" not in text:
        complain("no #pragma once")
    for quote, included in INCLUDE.findall(text):
        if quote == '"':
            if not (root / included).is_file():
                complain(f'"{included}" is no path from the root of the repository')
            check_layer(path, included, complain)
        elif not path.startswith("tests/"):
            check_home(path, included, complain)


def check_tests(root, problems):
    """A test that no CMakeLists.txt names is compiled by nobody and cannot fail."""
    for folder in sorted(path.parent for path in (root / "tests").rglob("CMakeLists.txt")):
        named = (folder / "CMakeLists.txt").read_text(encoding="utf-8")
        for file in sorted([*folder.glob("*_test.*")]):
            if file.name not in named:
                problems.append(f"{file.relative_to(root)}: no CMakeLists.txt names it")


def main():
    root = pathlib.Path(sys.argv[1])
    problems = []
    seen = 0
    for top in ["lib", "kernels", "tools", "tests", "cmake", "examples"]:
        for file in sorted((root / top).rglob("*")):
            if file.suffix not in SOURCES | SCRIPTS or not file.is_file():
                continue
            path = file.relative_to(root).as_posix()
            text = file.read_text(encoding="utf-8")

            def complain(what, path=path):
                problems.append(f"{path}: {what}")

            seen += 1
            lines = text.count("\n")
            if lines > MAX_LINES:
                complain(f"{lines} lines, at most {MAX_LINES} are wanted")
            if file.suffix in SOURCES:
                check_source(root, path, text, complain)
    check_tests(root, problems)
    print("\n".join(problems) or f"{seen} sources keep the rules")
    return 1 if problems or seen < 100 else 0


if __name__ == "__main__":
    sys.exit(main())
