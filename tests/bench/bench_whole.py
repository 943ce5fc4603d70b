"""Times everything on the same images: our one pass against torch-fidelity, clean-fid and CLIP.

    python tests/bench/bench_whole.py [-n 512] [--side 64] [--reps 3] [--threads 2] [--no-clean]

Theirs, one after the other as people run them: torch-fidelity (FID, KID, IS, precision, recall),
clean-fid (FID), and a loop over open_clip (CLIP score). Ours gives all of these and density,
coverage and the intervals: eager float32; with the reference's features known; and in bfloat16
(reference not known). Both sides read the same PNG folders and the same random weights, in the
formats that those libraries load, and build their networks anew each time. Sides take turns;
printed are the least and the median wall seconds of each part, CPU seconds, ratios and what the
values differ by. Weights are random: speed and rounding, not metric values.
"""

import argparse
import contextlib
import io
import os
import statistics
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).parents[1] / "features"))

from conftest import Scripted, random_state

from ldmbench.features import load_extractor
from ldmbench.metrics.families import clip_family, logits_family, moments_family, neighbours_family

CLIP = "ViT-B-32-quickgelu"
WORDS = ("two", "small", "red", "blue", "dogs", "boats", "houses", "near", "the", "old", "river")


@dataclass
class Job:
    """Where things are."""

    folder: Path
    n: int
    clean: bool
    prompts: list[str]
    cached: dict = field(default_factory=dict)

    @property
    def sides(self):
        return self.folder / "generated", self.folder / "reference"


def prepare(folder, n, side, clean):
    """Write images, prompts and weights."""
    rng = np.random.default_rng(0)
    for s, name in enumerate(("generated", "reference")):
        (folder / name).mkdir()
        for i in range(n):
            coarse = rng.integers(0, 256, (side // 8, side // 8, 3)).repeat(8, 0).repeat(8, 1)
            noise = rng.integers(-30 - 10 * s, 30 + 10 * s, coarse.shape)
            pixels = np.clip(coarse + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i:06d}.png")
    state = random_state()
    torch.save(state, folder / "weights.pth")
    torch.jit.script(Scripted(state)).save(str(folder / "inception-2015-12-05.pt"))
    torch.manual_seed(0)
    save_file(open_clip.create_model(CLIP).state_dict(), folder / "clip.safetensors")
    prompts = [f"{' '.join(rng.choice(WORDS, rng.integers(6, 14)))} {i}" for i in range(n)]
    return Job(folder, n, clean, prompts)


def torch_fidelity(job):
    from torch_fidelity import calculate_metrics

    found = calculate_metrics(
        input1=str(job.sides[0]), input2=str(job.sides[1]), cuda=False, batch_size=32,
        isc=True, fid=True, kid=True, prc=True, kid_subset_size=min(1000, job.n),
        isc_splits=min(10, job.n), feature_extractor="inception-v3-compat", save_cpu_ram=True,
        feature_extractor_weights_path=str(job.folder / "weights.pth"), verbose=False, cache=False,
    )  # fmt: skip
    return {
        "fid": found["frechet_inception_distance"],
        "kid": found["kernel_inception_distance_mean"],
        "inception_score": found["inception_score_mean"],
        "precision": found["precision"],
        "recall": found["recall"],
    }


def clean_fid(job):
    from cleanfid import fid
    from cleanfid.inception_torchscript import InceptionV3W

    model = InceptionV3W(str(job.folder), download=False)
    both = [
        fid.get_folder_features(
            str(side), model=model, num_workers=0, batch_size=32, device=torch.device("cpu"),
            mode="clean", verbose=False,
        )
        for side in job.sides
    ]  # fmt: skip
    return {"clean-fid": float(fid.fid_from_feats(*both))}


def clip_loop(job):
    model = open_clip.create_model(CLIP).eval()
    open_clip.load_checkpoint(model, str(job.folder / "clip.safetensors"))
    transform = open_clip.image_transform(model.visual.image_size, is_train=False)
    tokenizer = open_clip.get_tokenizer(CLIP)
    files, scores = sorted(job.sides[0].iterdir()), []
    with torch.no_grad():
        for at in range(0, job.n, 32):
            x = torch.stack([transform(Image.open(f).convert("RGB")) for f in files[at : at + 32]])
            image = model.encode_image(x, normalize=True)
            text = model.encode_text(tokenizer(job.prompts[at : at + 32]), normalize=True)
            scores.append(100 * (image * text).sum(1))
    return {"clip_score": float(torch.cat(scores).mean())}


def features(job, name, file, precision, images, known):
    """Return features of both sides; the reference's from `known` where they are there."""
    extractor = load_extractor(name, path=job.folder / file, precision=precision)
    generated = extractor.extract(images["generated"])
    if known is not None:
        return generated, known[name]
    return generated, extractor.extract(images["reference"])


def pictures(side):
    return np.stack([np.asarray(Image.open(f).convert("RGB")) for f in sorted(side.iterdir())])


def ours(job, *, precision="float32", known=None):
    wanted = job.sides if known is None else job.sides[:1]
    images = {side.name: pictures(side) for side in wanted}
    x, y = features(job, "inception-v3-compat", "weights.pth", precision, images, known)
    job.cached.setdefault("inception-v3-compat", y)
    found = moments_family(x["features"], y["features"])
    found |= neighbours_family(x["features"], y["features"]) | logits_family(x["logits"])
    if job.clean:
        file = "inception-2015-12-05.pt"
        x, y = features(job, "inception-v3-clean", file, precision, images, known)
        job.cached.setdefault("inception-v3-clean", y)
        found["clean-fid"] = moments_family(x["features"], y["features"])["fid"]
    clip = load_extractor(
        "clip-vit-b-32", path=job.folder / "clip.safetensors", precision=precision
    )
    image = clip.extract(images["generated"])["features"]
    found |= clip_family(image, clip.extract_text(job.prompts))
    return {name: score.value for name, score in found.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=512)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-clean", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    os.environ["TQDM_DISABLE"] = "1"
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        job = prepare(Path(folder), options.n, options.side, not options.no_clean)
        rows = {"torch-fidelity": lambda: torch_fidelity(job)}
        if job.clean:
            rows["clean-fid"] = lambda: clean_fid(job)
        rows["CLIP loop"] = lambda: clip_loop(job)
        rows["ours, eager"] = lambda: ours(job)
        rows["ours, reference cached"] = lambda: ours(job, known=job.cached)
        rows["ours, bfloat16"] = lambda: ours(job, precision="bfloat16")
        wall, cpu, values = measure(rows, options.reps)
    show(options, wall, cpu, values)


def measure(rows, reps):
    wall, cpu, values = {r: [] for r in rows}, {r: [] for r in rows}, {}
    for rep in range(reps):
        for name, call in rows.items():
            began, used = time.perf_counter(), time.process_time()
            with contextlib.redirect_stdout(io.StringIO()):
                values[name] = call()
            wall[name].append(time.perf_counter() - began)
            cpu[name].append(time.process_time() - used)
            print(f"  rep {rep} {name}: {wall[name][-1]:.1f} s", flush=True)
    return wall, cpu, values


def show(options, wall, cpu, values):
    print(f"\n{options.n} + {options.n} images of {options.side} x {options.side}, "
          f"{options.reps} repetitions, {options.threads} threads\n")  # fmt: skip
    print("| | least s | median s | least CPU s |\n|---|---|---|---|")
    theirs = [name for name in wall if not name.startswith("ours")]
    for name in wall:
        print(f"| {name} | {min(wall[name]):.1f} | {statistics.median(wall[name]):.1f} "
              f"| {min(cpu[name]):.1f} |")  # fmt: skip
    ways = ((min, wall), (statistics.median, wall), (min, cpu))
    sums = [sum(way(times[name]) for name in theirs) for way, times in ways]
    print(f"| theirs, sum | {sums[0]:.1f} | {sums[1]:.1f} | {sums[2]:.1f} |\n")
    for name in wall:
        if name in theirs:
            continue
        least, middle, used = min(wall[name]), statistics.median(wall[name]), min(cpu[name])
        print(f"{name}: {sums[0] / least:.2f}x by least, {sums[1] / middle:.2f}x by median, "
              f"{sums[2] / used:.2f}x by CPU seconds")  # fmt: skip
    known = {k: v for name in theirs for k, v in values[name].items()}
    for name in [n for n in values if n not in theirs]:
        parts = [f"{k} {values[name][k]:.6g} ({known[k]:.6g})" for k in known]
        print(f"{name} (theirs): " + ", ".join(parts))


if __name__ == "__main__":
    main()
