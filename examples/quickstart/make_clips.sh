#!/bin/sh
# Makes the quickstart's clips from three videos of Debian's package opencv-doc: box.mp4, cup.mp4 and
# tree.avi, reduced to 72x54 pixels and fewer frames, stored without loss. Needs apt, ffmpeg, python3-h5py
# and the tools on PATH; takes a minute and fetches 96 MB.
#   examples/quickstart/make_clips.sh FOLDER
set -eu
out=$1
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && apt-get download -qq opencv-doc && dpkg -x opencv-doc_*.deb .)
docs=$work/usr/share/doc/opencv-doc
cp "$docs/opencv4/html/box.mp4.gz" "$docs/opencv4/html/cup.mp4.gz" "$docs/examples/data/tree.avi" "$work"
generate import "$work/box.mp4.gz" "$work/cup.mp4.gz" "$work/tree.avi" -c "$here/originals.yaml" -o "$work/clips.h5"
mkdir -p "$out"
/usr/bin/python3 - "$work/clips.h5" "$out" <<'PY'
import subprocess, sys
import h5py

with h5py.File(sys.argv[1]) as clips:
    for source in clips["sources"].values():
        frames = source["frames"][...]
        name = source.attrs["name"].decode().split(".")[0]
        size = f"{frames.shape[2]}x{frames.shape[1]}"
        subprocess.run(["ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size,
                        "-r", "10", "-i", "-", "-c:v", "libx264rgb", "-qp", "0", "-preset", "veryslow",
                        "-fflags", "+bitexact", "-flags:v", "+bitexact", f"{sys.argv[2]}/{name}.mp4"],
                       input=frames.tobytes(), check=True)
PY
