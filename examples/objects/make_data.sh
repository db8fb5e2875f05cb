#!/bin/sh
# Makes the dataset of the class-conditional model `objects` from files of Debian 12 packages (sources.md):
# fetches the packages, checks every file, imports. Needs apt, ffmpeg and generate on PATH; fetches 348 MB.
#   examples/objects/make_data.sh OUT [OPTION ...]      OUT/clips.h5; options go to generate import
# For small/: make_data.sh OUT --clip-frames 16 --width 72 --height 56
set -eu
out=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/debs" "$work/root" "$work/files"
# The folder is this user's alone: not apt's own user's, whom root's apt would download as.
sandbox=
[ "$(id -u)" != 0 ] || sandbox="-o APT::Sandbox::User=root"
# A local folder of packages (OBJECTS_DEBS) saves the download.
for package in $(cut -f2 "$here/sources.tsv" | sort -u); do
  if [ -n "${OBJECTS_DEBS:-}" ]; then
    cp "$OBJECTS_DEBS/${package}"_*.deb "$work/debs"
  else
    # shellcheck disable=SC2086  # none or two words
    (cd "$work/debs" && apt-get download -qq $sandbox "$package")
  fi
  dpkg -x "$work/debs/${package}"_*.deb "$work/root"
done
tab=$(printf '\t')
while IFS=$tab read -r sha package version path name; do
  echo "$sha  $work/root$path" | sha256sum --check --quiet >&2 || {
    echo "make_data: $package: $path is not the file of version $version" >&2
    exit 3
  }
  ln -s "$work/root$path" "$work/files/$name"
done <"$here/sources.tsv"
cd "$work/files"
# shellcheck disable=SC2046  # names without blanks
generate import $(cut -f5 "$here/sources.tsv") -c "$here/clips.yaml" -o "$out/clips.h5" "$@"
generate inspect "$out/clips.h5" >"$work/said" # not into a pipe, which would hide a failure
grep -i -m 1 digest "$work/said"
