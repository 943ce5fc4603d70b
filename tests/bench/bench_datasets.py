"""Time and memory to list, digest, check and read 100,000 images in containers.

    python tests/bench/bench_datasets.py [--images 100000] [--side 64] [--folder DIR]

Writes tars, a parquet file, an lmdb and an HDF5 of the same images (JPEG but for HDF5), each in a
process of its own, then lists, digests and checks it and reads 10,240 in random order in another.
Memory is of the process that reads: its own (the largest that was seen, 100 times a second), and
its largest resident size, which counts pages of mapped files, too. The row `imports` has what
importing takes of it.
"""

import argparse
import io
import itertools
import json
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from PIL import Image

KINDS = {"webdataset": "tars", "parquet": "parquets", "lmdb": "lmdb", "hdf5": "images.hdf5"}
READ = 10_240
SHARD = 512


def coded(i, side):
    """Return a JPEG that differs from others."""
    small = np.random.default_rng(i).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(small).resize((side, side)).save(file, "JPEG", quality=90)
    return file.getvalue()


def write_tars(folder, images):
    """Write shards of 10,000 with captions, as img2dataset does."""
    folder.mkdir()
    for shard, rows in itertools.groupby(images, lambda row: row[0] // 10_000):
        with tarfile.open(folder / f"{shard:05d}.tar", "w") as tar:
            for i, data in rows:
                for name, held in (("jpg", data), ("txt", f"a picture, number {i}".encode())):
                    info = tarfile.TarInfo(f"{i:09d}.{name}")
                    info.size = len(held)
                    tar.addfile(info, io.BytesIO(held))


def write_parquet(folder, images):
    """Write one file in row groups of 100, as the hub has them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir()
    struct = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    schema = pa.schema({"image": struct, "text": pa.string()})
    with pq.ParquetWriter(folder / "train-00000-of-00001.parquet", schema) as out:
        rows = []
        for i, data in images:
            rows.append({"image": {"bytes": data, "path": f"{i}.jpg"}, "text": f"number {i}"})
            if len(rows) == 100:
                out.write_table(pa.Table.from_pylist(rows, schema))
                rows = []
        if rows:
            out.write_table(pa.Table.from_pylist(rows, schema))


def write_lmdb(folder, images):
    """Write one lmdb of LSUN's form."""
    import lmdb

    environment = lmdb.open(str(folder), map_size=2**36)
    with environment.begin(write=True) as transaction:
        for i, data in images:
            transaction.put(f"{i:040x}".encode(), data)
    environment.close()


def write_hdf5(file, images):
    """Write one HDF5 of StudioGAN."""
    import h5py

    images = list(images)
    side = np.asarray(Image.open(io.BytesIO(images[0][1]))).shape[0]
    with h5py.File(file, "w") as held:
        shape = (len(images), side, side, 3)
        out = held.create_dataset(
            "imgs", shape, np.uint8, chunks=(min(500, len(images)), side, side, 3)
        )
        for i, data in images:
            out[i] = np.asarray(Image.open(io.BytesIO(data)))


WRITERS = dict(zip(KINDS, (write_tars, write_parquet, write_lmdb, write_hdf5)))


def held(field):
    """Return a size of this process, MiB, from Linux's /proc.

    VmHWM is its largest resident size so far with mapped files' pages; RssAnon its own memory now.
    Unlike getrusage, neither knows what the process was before it was this program.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024


class Watch(threading.Thread):
    """Keeps the most own memory that this process was seen to have."""

    def __init__(self):
        super().__init__(daemon=True)
        self.most = 0.0

    def run(self):
        """Look for ever."""
        while True:
            self.look()
            time.sleep(0.01)

    def look(self):
        """Look once and return the most so far."""
        self.most = max(self.most, held("RssAnon"))
        return self.most


def measure(kind, path):
    """List, digest, check and read in this process and print what each took."""
    from ldmbench.data.images import read_images
    from ldmbench.sources.images.splits import shard_images
    from ldmbench.sources.kinds import open_source

    watch = Watch()
    source, cache = open_source(kind, path, {}), path.parent / f"{kind}.json"
    rows = {"imports": [0.0, watch.look(), held("VmHWM")]}
    watch.start()
    kept = {"reference": 1000, "validation": 1000}

    def read():
        files = source.listing().files
        for start in range(0, min(READ, len(files) - 2000), SHARD):
            some = shard_images(files, "train", (start, start + SHARD), mixed=True, **kept)
            read_images(source, some, resolution=32, crop="center", resize="pil-bicubic")

    steps = {
        "list": lambda: len(source.listing().files),
        "digest": lambda: source.digest(cache),
        "check": lambda: source.check(cache, resolution=32, crop="center", upscale=False),
        "check again": lambda: source.check(cache, resolution=32, crop="center", upscale=False),
        "read": read,
    }
    for name, step in steps.items():
        start = time.perf_counter()
        step()
        rows[name] = [time.perf_counter() - start, watch.look(), held("VmHWM")]
    print(json.dumps(rows))


def main():
    """Write the containers and measure each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--folder", type=Path, help="where to write; a temporary folder when unset")
    parser.add_argument("--kinds", default=",".join(KINDS), help="which, with commas")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--write", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        kind, path = options.write
        WRITERS[kind](Path(path), ((i, coded(i, options.side)) for i in range(options.images)))
        return
    if options.measure:
        measure(options.measure[0], Path(options.measure[1]))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        print(f"{options.images:,} images of {options.side} px")
        for kind in options.kinds.split(","):
            path = Path(scratch) / KINDS[kind]
            sizes = ["--images", str(options.images), "--side", str(options.side)]
            command = [sys.executable, __file__, *sizes, "--write", kind, str(path)]
            start = time.perf_counter()
            subprocess.run(command, check=True)
            took = time.perf_counter() - start
            files = [f for f in (path.rglob("*") if path.is_dir() else [path]) if f.is_file()]
            size = sum(file.stat().st_size for file in files) / 2**20
            print(f"{kind:11} {size:7.0f} MiB  {'write':12} {took:7.1f} s", flush=True)
            time.sleep(3)  # files changed within two seconds are not remembered
            command = [sys.executable, __file__, "--measure", kind, str(path)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            for step, (took, own, most) in json.loads(done.stdout).items():
                print(
                    f"{kind:11} {size:7.0f} MiB  {step:12} {took:7.1f} s  {own:6.0f} MiB own"
                    f" {most:6.0f} MiB with mapped files",
                    flush=True,
                )


if __name__ == "__main__":
    main()
