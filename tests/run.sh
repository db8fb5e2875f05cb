#!/usr/bin/env bash
# Builds suffice and tests it; every stage is named, timed and must pass.
#
#   tests/run.sh [fast|ci|full]
#
#   fast   build and test (the default; at most 10 minutes on 2 cores once the packages are there)
#   ci     also: the tests under AddressSanitizer and UndefinedBehaviorSanitizer, the threaded ones
#          under ThreadSanitizer, the quickstart, a Slurm job array (at most 60 minutes on 2 cores)
#   full   also: the release and the static build, long command-line tests under the sanitizers,
#          requeueing by Slurm, and every other example
#
# Missing Debian packages are installed when run by root, and named otherwise. JOBS sets the number
# of parallel jobs. Ends with ctest's summary and exit status 0, or with the stage that failed.
set -euo pipefail

level=${1:-fast}
case $level in
  fast | ci | full) ;;
  *)
    echo "tests/run.sh: unknown level '$level' (fast, ci, full)" >&2
    exit 2
    ;;
esac
cd "$(dirname "$0")/.."
jobs=${JOBS:-$(nproc)}
export CTEST_OUTPUT_ON_FAILURE=1
if command -v ccache >/dev/null; then
  export CMAKE_CXX_COMPILER_LAUNCHER=ccache
fi

logs=build/run
mkdir -p "$logs"
times=()

# stage NAME COMMAND...: runs the command, with its output in a log that is shown on failure.
stage() {
  local name=$1 start=$SECONDS log
  shift
  log=$logs/${name//[^a-z0-9]/-}.log
  echo "=== $name"
  if ! "$@" >"$log" 2>&1; then
    tail -n 200 "$log"
    echo "=== $name: FAILED after $((SECONDS - start)) s (whole log: $log)" >&2
    exit 1
  fi
  times+=("$(printf '%5d s  %s' $((SECONDS - start)) "$name")")
}

skip() {
  echo "=== $1: skipped ($2)"
  times+=("$(printf '%7s  %s (%s)' skipped "$1" "$2")")
}

configure() { cmake --preset "$@"; }
build() { cmake --build --preset "$1" --parallel "$jobs" "${@:2}"; }

# ThreadSanitizer wants its shadow where address space randomisation may put a mapping.
without_aslr() {
  if setarch "$(uname -m)" -R true 2>/dev/null; then
    setarch "$(uname -m)" -R "$@"
  else
    "$@"
  fi
}

# An example takes a folder that does not exist yet, and SUFFICE_BIN instead of building the tools.
example() {
  rm -rf "$logs/example"
  SUFFICE_BIN=$PWD/build/dev/bin "$@" "$logs/example"
}

# Starts daemons, for which it must be root.
slurm() {
  if [ "$(id -u)" = 0 ] || sinfo -h >/dev/null 2>&1; then
    [ "$(id -u)" != 0 ] || stage "packages slurm" cmake/install-packages.sh slurm
    stage "$1" example examples/slurm/run.sh "${@:2}"
  else
    skip "$1" "no Slurm answers, and only root can start one"
  fi
}

stage packages cmake/install-packages.sh build run test
# The CUDA backend is part of the plain build where nvcc is found: for sm_90a and sm_80, in full for
# every architecture that is shipped. Its tests run where there is a GPU.
if ! nvcc=$(command -v nvcc || command -v /usr/local/cuda/bin/nvcc); then
  skip cuda "nvcc not found"
  stage configure configure dev -DSUFFICE_CUDA=OFF
elif [ "$level" = full ]; then
  stage configure configure dev -DSUFFICE_CUDA=ON "-DCMAKE_CUDA_COMPILER=$nvcc"
else
  stage configure configure dev -DSUFFICE_CUDA=ON "-DCMAKE_CUDA_COMPILER=$nvcc" \
    -DSUFFICE_CUDA_ARCHITECTURES=80-real
fi
stage build build dev
stage tests ctest --preset dev --parallel "$jobs"

if [ "$level" != fast ]; then
  stage "configure asan+ubsan" configure asan
  stage "build asan+ubsan" build asan
  # The house's own checks read sources, manuals and an installation: once is enough.
  once=house
  [ "$level" = full ] || once='house|long'
  stage "tests asan+ubsan" ctest --preset asan --parallel "$jobs" --label-exclude "$once"
  stage "configure tsan" configure tsan
  stage "build tsan" build tsan --target threaded_tests
  # All instruction sets are driven by the same threads: here the one that every x86 processor has.
  others=()
  [ "$level" = full ] || [ "$(uname -m)" != x86_64 ] ||
    others=(--exclude-regex '/cpu_(portable|avx512)')
  stage "tests tsan" without_aslr ctest --preset tsan --parallel "$jobs" --label-regex threaded \
    "${others[@]}"

  if [ -x examples/quickstart/run.sh ]; then
    stage quickstart example examples/quickstart/run.sh
  else
    skip quickstart "no examples/quickstart in this version"
  fi
  slurm "slurm array and merge"
fi

if [ "$level" = full ]; then
  stage "configure release" configure release
  stage "build release" build release
  stage "configure static" configure static
  stage "build static" build static
  for script in examples/*/run.sh; do
    case $script in examples/quickstart/* | examples/slurm/*) continue ;; esac
    [ ! -x "$script" ] || stage "example $script" example "$script"
  done
  slurm "slurm requeue" --requeue
fi

if [ -n "${nvcc:-}" ] && ! nvidia-smi -L >/dev/null 2>&1; then
  skip "cuda tests" "compiled, not run: no GPU"
fi
echo "=== times"
printf '%s\n' "${times[@]}" "$(printf '%5d s  in all' "$SECONDS")"
# Last, what ctest said of each build: the plain one at the end.
if [ "$level" != fast ]; then
  for which in asan+ubsan tsan; do
    echo "=== ctest, $which"
    sed -n '/tests passed/,$p' "$logs/tests-${which//[^a-z0-9]/-}.log"
  done
fi
echo "=== ctest"
sed -n '/tests passed/,$p' "$logs/tests.log"
