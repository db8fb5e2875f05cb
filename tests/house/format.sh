#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every source is as clang-format leaves it: format.sh REPOSITORY
set -eu
command -v clang-format >/dev/null || { echo "clang-format not found"; exit 77; }
cd "$1"
# Versions differ in what they make of a line; the style is that of Debian 12's.
clang-format --version | grep -q "version 14\." || { echo "not clang-format 14"; exit 77; }
find lib kernels tools tests examples \( -name '*.cc' -o -name '*.h' \) -exec \
  clang-format --dry-run -Werror {} +
echo "sources are formatted"
