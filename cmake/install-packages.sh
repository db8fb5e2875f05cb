#!/bin/sh
# Installs the Debian packages of the groups named (build, run, test). Needs root when any is missing.
#   cmake/install-packages.sh build run
set -eu
list=$(dirname "$0")/debian-packages.txt
wanted=""
for group in "$@"; do
  case $group in
    build | run | test | slurm) ;;
    *) echo "install-packages: unknown group '$group' (build, run, test, slurm)" >&2; exit 2 ;;
  esac
  wanted="$wanted $(awk -v g="$group" '$1 == g {print $2}' "$list")"
done
missing=""
for package in $wanted; do
  status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
  echo "install-packages: missing:$missing; run as root or install them first" >&2
  exit 4
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086  # the list is words
# No service is started: RUNLEVEL is what invoke-rc.d(8) asks where init does not say.
RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $missing >/dev/null
