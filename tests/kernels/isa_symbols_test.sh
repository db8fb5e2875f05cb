#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Sources compiled for one instruction set must not define inline functions that the linker could keep
# for everyone: a processor without the set would meet its instructions. $1 is the library.
nm --defined-only "$1" | awk '
  /\.o:$/ { member = $1 }
  member ~ /_avx/ { members++ }
  member ~ /_avx/ && ($2 == "W" || $2 == "u") { print member, $3; found = 1 }
  END { if (!members) print "no source of an instruction set in the library"; exit found || !members }'
