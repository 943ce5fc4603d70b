"""Times our Inception against torch-fidelity on the same images and random weights, in one run.

    python tests/bench/bench_features.py [-n 32] [--side 64] [--reps 3] [--compile] [--threads 2]

Contenders take turns batch by batch, so that other load hits both. Printed: images per second (best
and median repetition), ratio to torch-fidelity by both and by CPU seconds, the largest and
relative (Frobenius) deviation of features, and the FID of every other image to the
others with it. Weights are random: speed and rounding, not metric values.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "features"))

from conftest import random_state
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from ldmbench.catalog.extractors import extractor_named
from ldmbench.features import inception, load_extractor
from ldmbench.metrics import frechet_distance


def ours(path, **options):
    given = {"digest": "0" * 64, "device": "cpu", "precision": "float32", "expected": 0}
    extractor = inception.load(extractor_named("inception-v3-compat"), path, **(given | options))
    return lambda images: extractor.extract(images)["features"]


def theirs(path):
    network = FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path)
    )

    def call(images):
        x = torch.from_numpy(images).permute(0, 3, 1, 2)
        with torch.no_grad():
            return np.concatenate([network(part)[0].numpy() for part in x.split(32)])

    return call


def contenders(path, compiled):
    rows = {"torch-fidelity": theirs(path), "eager": ours(path)}
    if compiled:
        rows["compiled"] = ours(path, expected=inception.COMPILE_FROM)
    rows["bfloat16"] = ours(path, precision="bfloat16")
    if compiled:
        rows["bfloat16 compiled"] = ours(
            path, precision="bfloat16", expected=inception.COMPILE_FROM
        )
    return rows


def measure(rows, images, reps):
    wall, cpu, out = {}, {}, {}
    for rep in range(reps + 1):
        for name, call in rows.items():
            began, used = time.perf_counter(), time.process_time()
            out[name] = call(images)
            seconds, used = time.perf_counter() - began, time.process_time() - used
            if rep == 0:
                print(f"  {name}: first call {seconds:.1f} s", flush=True)
                continue
            wall.setdefault(name, []).append(seconds)
            cpu.setdefault(name, []).append(used)
    return wall, cpu, out


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=32)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (args.n, args.side, args.side, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pth"
        torch.save(random_state(), path)
        rows = contenders(path, args.compile)
    wall, cpu, out = measure(rows, images, args.reps)
    known = out["torch-fidelity"]
    for name in rows:
        error = out[name] - known
        ratios = [
            way(times["torch-fidelity"]) / way(times[name])
            for way, times in ((min, wall), (statistics.median, wall), (min, cpu))
        ]
        fid = frechet_distance(out[name][::2], out[name][1::2])
        print(
            f"{name:18s} {args.n / min(wall[name]):7.2f} images/s  "
            f"median {args.n / statistics.median(wall[name]):7.2f}  "
            f"{ratios[0]:5.2f}x wall  {ratios[1]:5.2f}x median  {ratios[2]:5.2f}x cpu  "
            f"largest {np.abs(error).max() / np.abs(known).max():.1e}  "
            f"relative {np.linalg.norm(error) / np.linalg.norm(known):.1e}  FID {fid:.6g}"
        )
    net = load_extractor("shapes-net")
    began = time.perf_counter()
    net.extract(images.repeat(-(-1024 // args.n), 0))
    print(f"shapes-net {1024 / (time.perf_counter() - began):,.0f} images/s")


if __name__ == "__main__":
    main()
