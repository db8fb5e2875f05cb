#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs a build to a temporary prefix and builds a program against it, headers and all:
# consumer.sh REPOSITORY BUILD COMPILER
set -eu
repository=$1
build=$2
compiler=$3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cmake --install "$build" --prefix "$folder/prefix" >"$folder/install.log"
cmake -S "$repository/tests/house/consumer" -B "$folder/build" -G Ninja \
  -DCMAKE_PREFIX_PATH="$folder/prefix" -DCMAKE_CXX_COMPILER="$compiler" >"$folder/configure.log"
cmake --build "$folder/build" >"$folder/build.log" || { cat "$folder/build.log"; exit 1; }
"$folder/build/consumer" "$folder/x.h5"

# Every installed header stands alone.
find "$folder/prefix/include/suffice" -name '*.h' | sort >"$folder/headers"
[ -s "$folder/headers" ]
sed "s|^$folder/prefix/include/suffice/\(.*\)|#include \"\1\"|" "$folder/headers" >"$folder/all.cc"
"$compiler" -std=c++20 -fsyntax-only -I "$folder/prefix/include/suffice" "$folder/all.cc"

for tool in sparsify distill generate calibrate audit; do
  "$folder/prefix/bin/$tool" --version
  [ -f "$folder/prefix/share/man/man1/$tool.1" ] || { echo "man/$tool.1 is not installed"; exit 1; }
  [ -f "$folder/prefix/share/bash-completion/completions/$tool" ] ||
    { echo "the completion of $tool is not installed"; exit 1; }
done
for page in man5/suffice-tensor.5 man5/suffice-config.5 man7/suffice.7; do
  [ -f "$folder/prefix/share/man/$page" ] || { echo "$page is not installed"; exit 1; }
done
