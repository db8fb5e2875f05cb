#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Reads our tensor file with h5py and HDF5's own tools, and computes its content digest again from
suffice-tensor(5) alone. Usage: read_with_h5py.py WRITE_EXAMPLE. Exit 77: h5py or hdf5-tools are absent."""
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile

try:
    import h5py
    import numpy as np
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)
for tool in ("h5dump", "h5ls", "h5repack", "h5diff"):
    if shutil.which(tool) is None:
        print(f"skipped: no {tool}")
        sys.exit(77)


def run(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def ours(*words):
    return run(sys.argv[1], *words).strip()


NAMES = {"<f2": "f16", "<f4": "f32", "<f8": "f64", "|i1": "i8", "<i2": "i16", "<i4": "i32",
         "<i8": "i64", "|u1": "u8", "<u2": "u16", "<u4": "u32", "<u8": "u64"}


def is_bfloat16(kind):
    return (isinstance(kind, h5py.h5t.TypeFloatID) and kind.get_size() == 2
            and kind.get_fields() == (15, 7, 8, 0, 7) and kind.get_ebias() == 127)


def type_and_bytes(item, kind):
    """TYPE and the bytes to hash of a low-level dataset or attribute."""
    if kind.get_class() == h5py.h5t.STRING:
        width = kind.get_size()
        shape = item.shape
        raw = np.empty(shape, dtype=f"S{width}")
        if raw.size:
            read(item, raw, kind)
        return "str", b"".join(text + b"\0" for text in raw.reshape(-1).tolist())
    if is_bfloat16(kind):
        raw = np.empty(item.shape, np.uint16)
        read(item, raw, kind)  # the file's own type: no conversion
        return "bf16", raw.tobytes()
    dtype = kind.dtype
    raw = np.empty(item.shape, dtype)
    if raw.size:
        read(item, raw, kind)
    return NAMES[dtype.str], raw.tobytes()


def read(item, raw, kind):
    if isinstance(item, h5py.h5a.AttrID):
        item.read(raw, mtype=kind)
    else:
        item.read(h5py.h5s.ALL, h5py.h5s.ALL, raw, kind)


def line(path, what, kind, shape, data):
    return "\t".join([path, what, kind, shape, data]).encode() + b"\n"


def shape_text(shape):
    return ",".join(str(n) for n in shape) if shape else "-"


def content_digest(path):
    lines = []
    with h5py.File(path, "r") as file:
        def visit(name, thing):
            if name.split("/")[1] in ("run", "receipt"):
                return
            if isinstance(thing, h5py.Group):
                lines.append(line(name, "group", "-", "-", "-"))
            else:
                kind, data = type_and_bytes(thing.id, thing.id.get_type())
                lines.append(line(name, "dataset", kind, shape_text(thing.shape),
                                  hashlib.sha256(data).hexdigest()))
            for key in thing.attrs:
                attribute = h5py.h5a.open(thing.id, key.encode())
                kind, data = type_and_bytes(attribute, attribute.get_type())
                lines.append(line(f"{name}@{key}", "attribute", kind, shape_text(attribute.shape),
                                  hashlib.sha256(data).hexdigest()))

        visit("/", file)
        file.visititems(lambda name, thing: visit("/" + name, thing))
    return hashlib.sha256(b"".join(sorted(lines))).hexdigest()


def check(condition, what):
    if not condition:
        sys.exit(f"failed: {what}")


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "a.h5")
        ours("write", path)
        digest = ours("digest", path)
        check(digest == content_digest(path), "the content digest by the man page's words")

        twin = os.path.join(folder, "b.h5")
        subprocess.run([sys.argv[1], "write", twin], check=True,
                       env={**os.environ, "MALLOC_PERTURB_": "77"})  # another heap
        check(open(path, "rb").read() == open(twin, "rb").read(), "two runs write the same bytes")

        with h5py.File(path, "r") as file:
            check(file.attrs["format"].decode() == "suffice-tensor", "root attribute format")
            check(file.attrs["seed"] == 7, "root attribute seed")
            check(list(file["contract"].attrs["blocks"]) == [128, 64], "a list of integers")
            check(file["classes"][2].decode() == "tasse à thé", "a dataset of strings")
            check(list(file["types"])[:4] == ["f32", "f64", "f16", "bf16"], "order of creation")
            wide = file["types/bf16"][...]
            raw = np.empty((5, 7), np.uint16)
            item = file["types/bf16"].id
            item.read(h5py.h5s.ALL, h5py.h5s.ALL, raw, item.get_type())
            check(wide.dtype == np.float32, "h5py sees bfloat16 as a float")
            check((wide == (raw.astype(np.uint32) << 16).view(np.float32)).all(), "its values")
            check(file["types/f16"].dtype == np.float16, "h5py sees IEEE half")
            query = file["blocks/0/q"]
            check(query.chunks is None and query.id.get_offset() % 4096 == 0, "mapped storage")
            check(file["blocks/0/mask"].compression == "gzip", "packed storage")

        dump = run("h5dump", "-d", "/types/bf16", path)
        check("16-bit little-endian floating-point" in dump, "h5dump reads bfloat16")
        check("Dataset {300, 128}" in run("h5ls", "-r", path), "h5ls lists datasets")

        for i, how in enumerate((["-L"], ["-L", "-l", "CHUNK=20x30", "-f", "GZIP=6"],
                                 ["-L", "-f", "NONE"], ["-L", "-l", "CONTI"])):
            again = os.path.join(folder, f"again{i}.h5")
            run("h5repack", *how, path, again)
            check(ours("digest", again) == digest, f"h5repack {' '.join(how)} changes the digest")
            run("h5diff", path, again)

        for version in ((1, 0), (2, 0), (3, 0)):
            source, copy = os.path.join(folder, "s.npy"), os.path.join(folder, f"{version[0]}.npy")
            array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
            with open(source, "wb") as out:
                np.lib.format.write_array(out, array, version)
            ours("npy", source, copy)
            check((np.load(copy) == array).all(), f"npy version {version}")
    print("ok")


main()
