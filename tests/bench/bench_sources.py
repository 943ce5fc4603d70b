"""What it costs to plan 200 cells on a folder of images, and what a plan reads of the disk.

    python tests/bench/bench_sources.py [--images 20000] [--against CHECKOUT]

Draws a folder of images of 16 px in 100 classes, then plans in a fresh process each: with an empty
store (every image is read), again (nothing is), and once more in the process of the second.
`--against` does the same with the code of another checkout, for before and after.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
SUITE = """
suite: many
protocol: torch-fidelity
data:
  mine: {kind: folder, path: images, resolution: 16, reference: 1000, validation: 500}
models:
  mine:
    autoencoder: {f: [2, 4]}
    denoiser: {conditioning: class}
    budget: {steps: 10}
sample:
  steps: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
  guidance: [1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5]
  count: 100
metrics: [fid]
"""


def draw(folder, count):
    """Write the images and the suite."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
    for i in range(count):
        file = folder / f"images/class{i % 100:02d}/{i:06d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[i]).save(file, compress_level=0)
    (folder / "suite.yaml").write_text(SUITE)


def measure(folder):
    """Plan twice in this process and print what each took."""
    from ldmbench.session.planning import planned

    found = {"lists": 0, "opens": 0}

    def hear(event, arguments):
        if event in ("os.scandir", "os.listdir", "open") and str(folder) in str(arguments[0]):
            found["opens" if event == "open" else "lists"] += 1

    sys.addaudithook(hear)
    rows = []
    for _ in range(2):
        found |= dict.fromkeys(found, 0)
        wall, cpu = time.perf_counter(), time.process_time()
        plan = planned(folder / "suite.yaml", [], [], store=folder / "store")[1]
        took = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        rows.append({"cells": len(plan.cells), **took, **found})
    print(json.dumps(rows))


def main():
    """Draw the folder and time both checkouts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure)
        return
    with tempfile.TemporaryDirectory() as scratch:
        draw(Path(scratch), options.images)
        time.sleep(3)  # files changed within two seconds are not remembered
        print(f"{options.images:,} images")
        for code in filter(None, (options.against, ROOT)):
            command = [sys.executable, __file__, "--measure", scratch]
            env = {**os.environ, "PYTHONPATH": str(code)}
            (Path(scratch) / "store/digests.json").unlink(missing_ok=True)
            out = [subprocess.run(command, env=env, check=True, capture_output=True, text=True)
                   for _ in range(2)]  # fmt: skip
            rows = [row for done in out for row in json.loads(done.stdout)]
            for name, row in zip(("empty store", "", "warm store", "same process"), rows):
                if name:
                    print(f"{code.name:14} {name:12} {row['cells']} cells {row['wall']:7.2f} s"
                          f" wall {row['cpu']:7.2f} s cpu {row['lists']:6,} folders listed"
                          f" {row['opens']:7,} files opened")  # fmt: skip


if __name__ == "__main__":
    main()
