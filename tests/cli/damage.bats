#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Inputs that are wrong, damaged or hostile: refused by name with exit status 3, never half used.
load helper

@test "a file that is missing, or something else" {
  fails 3 "^sparsify attend: missing.h5: no such file" sparsify attend missing.h5 -o x.h5
  echo "not HDF5" >text.h5
  fails 3 "text.h5" sparsify attend text.h5 -o x.h5
  : >empty.h5
  fails 3 "empty.h5" sparsify attend empty.h5 -o x.h5
  fails 3 "$PWD: " sparsify attend "$PWD" -o x.h5
  fixture runs runs.h5
  fails 3 "runs.h5" sparsify sweep runs.h5
  fixture capture q.h5
  fails 3 "q.h5: .*capture.*runs" calibrate frontier --runs q.h5
  [ ! -e x.h5 ]
}

@test "tensors of the wrong shape, type or value, or none" {
  for kind in no-v shape heads no-heads no-tokens integers nan; do fixture $kind $kind.h5; done
  fails 3 "no-v.h5: /layers/0/v: is missing" sparsify attend no-v.h5 --at /layers/0 -o x.h5
  fails 3 "shape.h5: /layers/0/v: shape \(1, 2, 255, 32\), k wants \(1, 2, 256, 32\)" \
    sparsify attend shape.h5 --at /layers/0 -o x.h5
  fails 3 "heads.h5: /layers/0/q: 3 heads, not a multiple of k's 2" \
    sparsify attend heads.h5 --at /layers/0 -o x.h5
  fails 3 "/layers/0/k: shape \(1, 0, 256, 32\), which is empty" \
    sparsify attend no-heads.h5 --at /layers/0 -o x.h5
  fails 3 "/layers/0/k: shape \(1, 2, 0, 32\), which is empty" \
    sparsify attend no-tokens.h5 --at /layers/0 -o x.h5
  fails 3 "/layers/0/q: type i32, f32 or bf16 wanted" \
    sparsify attend integers.h5 --at /layers/0 -o x.h5
  for verb in attend mask sweep; do
    fails 3 "nan.h5: /layers/0/q: element 77 is not finite" sparsify $verb nan.h5 -o x.h5 \
      --set "$([ $verb = sweep ] && echo 'tile=[4, 4, 4]' || echo at=/layers/0)"
  done
  [ ! -e x.h5 ]
}

@test "a mask of other tokens or blocks does not fit" {
  fixture capture q.h5
  fixture other-tokens other.h5
  sparsify mask q.h5 --at /layers/0 -o mask.h5 -q >/dev/null
  fails 2 "mask.h5: /mask: shape \(1, 2, 2, 4\), .* wants \(1, 2, 3, 5\)" \
    sparsify attend other.h5 --at /layers/0 --mask mask.h5 -o x.h5
  fails 2 "mask.h5: /mask: blocks of 128x64, the config wants 64x64" \
    sparsify attend q.h5 --at /layers/0 --mask mask.h5 --set block_q=64 -o x.h5
  fails 2 "block 128x100: 128x64, 64x64 or 128x128 wanted" \
    sparsify attend q.h5 --at /layers/0 --set block_k=100 -o x.h5
}

@test "a file cut off anywhere is refused" {
  fixture capture q.h5
  size=$(stat -c %s q.h5)
  for part in 1 8 47 511 2048 $((size / 2)) $((size - 1)); do
    head -c "$part" q.h5 >cut.h5
    fails 3 "cut.h5" sparsify attend cut.h5 --at /layers/0 -o x.h5
    fails 3 "cut.h5" generate inspect cut.h5
  done
  [ ! -e x.h5 ]
}

@test "a changed byte of data is named with its dataset" {
  fixture capture q.h5
  # The last data of the file are those of a dataset: change one byte of it.
  /usr/bin/python3 - <<'PYTHON'
data = bytearray(open("q.h5", "rb").read())
data[len(data) - 3] ^= 0x10
open("q.h5", "wb").write(data)
PYTHON
  fails 3 "q.h5: /layers/0/[qkv]: .*(checksum|xxh3)" generate inspect q.h5
  fails 3 "q.h5: /layers/0/[qkv]: .*(checksum|xxh3)" sparsify attend q.h5 --at /layers/0 -o x.h5
}

@test "hostile HDF5 of other programs is refused" {
  /usr/bin/python3 -c 'import h5py' 2>/dev/null || skip "python3-h5py not found"
  /usr/bin/python3 - <<'PYTHON'
import h5py
import numpy


def ours(name, **options):
    file = h5py.File(name, "w", libver=("v110", "v110"), **options)
    file.attrs["format"] = numpy.bytes_("suffice-tensor")
    file.attrs["encoding-type"] = numpy.bytes_("capture")
    file.attrs["encoding-version"] = numpy.bytes_("1.0")
    return file


with h5py.File("plain.h5", "w") as file:
    file["q"] = numpy.zeros((1, 1, 8, 8), "f4")
with ours("loop.h5") as file:
    file.create_group("a")["b"] = h5py.SoftLink("/a")
with ours("external.h5") as file:
    file["q"] = h5py.ExternalLink("/etc/passwd", "/")
with ours("bomb.h5") as file:
    file.create_dataset("q", (1, 1, 1 << 20, 256), "f4", chunks=(1, 1, 1 << 12, 256),
                        compression="gzip", fillvalue=0)
with ours("huge.h5") as file:
    file.create_dataset("q", (1 << 40, 8), "f4", chunks=(1024, 8))
with ours("deep.h5") as file:
    file.create_group("/".join("abcdefghijklmnop"))
PYTHON
  for name in plain loop external bomb huge deep; do
    fails 3 "$name.h5" timeout 20 sparsify attend $name.h5 -o x.h5
    fails 3 "$name.h5" timeout 20 sparsify sweep $name.h5
  done
  [ ! -e x.h5 ]
}

@test "a video that cannot be read, pictures that do not fit" {
  echo "no video" >broken.mp4
  if command -v ffmpeg >/dev/null; then
    fails 3 "broken.mp4: ffmpeg cannot read it" generate import broken.mp4 -o clips.h5
    head -c 100 /dev/urandom >cut.mp4.gz
    fails 3 "cut.mp4.gz" generate import cut.mp4.gz -o clips.h5
  fi
  mkdir folder
  fails 3 "folder: no pictures in this folder" generate import folder -o clips.h5
  make_pictures
  fails 3 "16x16 pixels, the config wants 64x48" generate import left -o clips.h5
  fails 3 "a clip of 16 for training" \
    generate import left --width 16 --height 16 --clip-frames 16 -o clips.h5
  head -c 60 left/003.png >cut.png
  mv cut.png left/003.png
  fails 3 "left/003.png" generate import left --width 16 --height 16 --clip-frames 4 -o clips.h5
  echo "sources: [{file: other.mp4}]" >clips.yaml
  fails 2 "'other.mp4' is none of the files given" generate import right -c clips.yaml -o clips.h5
  [ ! -e clips.h5 ]
}

@test "ffmpeg not on the PATH is said" {
  echo video >a.mp4
  fails 4 "ffmpeg: not found in PATH" env PATH=/nonexistent "$SUFFICE_BIN/generate" import a.mp4 -o clips.h5
}

@test "a request against a model's contract names both sides" {
  make_clips
  make_dense
  make_sparse
  fails 2 "sparse.h5: .*half|half.*sparse.h5" \
    distill sparse sparse.h5 --teacher dense.h5 --data clips.h5 --setting other -o x.h5
  fails 2 "sparse.h5: has a contract already" sparsify model sparse.h5 -c policy.yaml -o x.h5
  fails 2 "dense.h5: has no contract" distill sparse dense.h5 --teacher dense.h5 --data clips.h5 -o x.h5
  fails 2 "sparse.h5: a sparse model" \
    distill sparse sparse.h5 --teacher sparse.h5 --data clips.h5 -o x.h5
  fails 2 "sparse.h5: a sparse model; pretrain wants a dense one" \
    distill pretrain --init sparse.h5 -c model.yaml --data clips.h5 -o x.h5
  # A selection that was made for another file.
  fixture runs runs.h5
  calibrate select --runs runs.h5 -o selection.yaml -q >/dev/null
  fails 2 "selection.yaml" distill sparse sparse.h5 --teacher dense.h5 --data clips.h5 \
    --selection selection.yaml -o x.h5
  fails 2 "." generate sample sparse.h5 --selection selection.yaml -o x.h5
  echo "rungs: []" >none.yaml
  fails 3 "none.yaml: no rungs" generate sample sparse.h5 --selection none.yaml -o x.h5
  [ ! -e x.h5 ]
}

@test "data that do not fit the model" {
  make_clips
  fails 2 "model.classes: 3, the dataset has 2" \
    distill pretrain -c model.yaml --set model.classes=3 --data clips.h5 -o x.h5
  fails 2 "width: 14 is not whole patches|width" \
    distill pretrain -c model.yaml --set width=15 --data clips.h5 -o x.h5
  fails 2 "clips.h5: source 'left': frames of 16x16, the model wants 32x16" \
    distill pretrain -c model.yaml --set width=32 --data clips.h5 -o x.h5
  fails 3 "clips.h5: .*dataset.*model" sparsify model clips.h5 -c /dev/null -o x.h5
}
