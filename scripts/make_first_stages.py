"""Train the first stages that ship, KL at f = 2, 4 and 8 on `shapes`, and measure them.

    python scripts/make_first_stages.py --f 8 --f 4 --f 2

Images come from indices at 1 << 43 and above, which no split of the dataset and no evaluator uses:
whole scenes at 32 pixels and crops of 32 pixels from scenes at 64, plain and fine. A training that
was stopped goes on from its last checkpoint. Weights go to ldmbench/models/first_stages as float16
safetensors, their digests to index.json beside them, measured rows to
docs/measurements/first_stages.md.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from ldmbench.canonical import digest_file, digest_files
from ldmbench.data.batch import Ints, Pixels
from ldmbench.data.shapes import Texture, render, split_indices
from ldmbench.features.extractor import load_extractor
from ldmbench.features.perceptual import load_perceptual
from ldmbench.metrics.frechet import frechet_distance
from ldmbench.metrics.paired import psnr, ssim
from ldmbench.models.autoencoder import load_first_stage, save_first_stage
from ldmbench.models.files import read_card
from ldmbench.models.model import Model
from ldmbench.models.shipped import load_shipped
from ldmbench.schema.models import AutoencoderParams, Budget
from ldmbench.schema.weights import FIRST_STAGES_FOLDER
from ldmbench.seeds import derive_seed
from ldmbench.train.autoencoder import train_autoencoder

log = logging.getLogger("make_first_stages")

FIRST = 1 << 43
SIDE = 32
POOL = 16_384
KINDS: tuple[tuple[int, Texture], ...] = (
    *(((32, "plain"),) * 4),
    *(((64, "plain"),) * 2),
    (32, "fine"),
    (64, "fine"),
)
"""Scene side and texture of each eighth of the training images."""
MEASURED: tuple[tuple[int, Texture], ...] = (
    (32, "plain"),
    (32, "fine"),
    (64, "plain"),
    (64, "fine"),
)
STEPS = {2: 3000, 4: 9000, 8: 12000}
KL_WEIGHTS = {2: 0.001, 4: 0.003, 8: 0.01}
DOCUMENT = Path(__file__).parents[1] / "docs" / "measurements" / "first_stages.md"


def params_of(f: int, steps: int) -> AutoencoderParams:
    """Return what is trained for a factor."""
    return AutoencoderParams(
        f=f,  # type: ignore[arg-type]
        kl_weight=KL_WEIGHTS[f],
        adversarial_start=0.7,
        budget=Budget(steps=steps),
        batch=8,
        learning_rate=1.2e-3,
        decay=0.5,
    )


class Pool:
    """The training images, uint8 (POOL, 32, 32, 3), in memory."""

    def __init__(self) -> None:
        self.pixels = np.empty((POOL, SIDE, SIDE, 3), dtype=np.uint8)
        corners = np.random.default_rng(derive_seed("first-stage-crops"))
        for kind, (resolution, texture) in enumerate(KINDS):
            rows = np.arange(kind, POOL, len(KINDS))
            drawn = render(FIRST + rows, resolution=resolution, texture=texture).images
            at = corners.integers(0, resolution - SIDE + 1, (len(rows), 2))
            for row, image, (top, left) in zip(rows, drawn, at):
                self.pixels[row] = image[top : top + SIDE, left : left + SIDE]

    def __len__(self) -> int:
        """Return the number of images."""
        return POOL

    def images(self, indices: Ints) -> Pixels:
        """Return uint8 NHWC."""
        return self.pixels[indices]

    def labels(self, indices: Ints) -> Ints:
        """Return zeros; a first stage sees no labels."""
        return np.zeros(len(indices), dtype=np.int64)

    def captions(self, indices: Ints) -> list[str]:
        """Return empty texts; a first stage sees no captions."""
        return [""] * len(indices)


def train(name: str, params: AutoencoderParams, scratch: Path) -> Path:
    """Train, or go on training; return the folder of the finished first stage."""
    output = scratch / "trained"
    train_autoencoder(
        params,
        Pool(),
        resolution=SIDE,
        device="cpu",
        scratch=scratch,
        output=output,
        report=lambda done, note: log.info("%s %4.1f %% %s", name, 100 * done, note),
    )
    return output


def ship(name: str, trained: Path, out: Path) -> None:
    """Write a trained first stage as float16, with its cost, and renew index.json."""
    model = load_first_stage(trained)
    params = AutoencoderParams.model_validate(read_card(trained, "first-stage")["params"])
    model.first_stage.network.half()
    folder = out / name
    shutil.rmtree(folder, ignore_errors=True)
    save_first_stage(model.first_stage, folder, params=params, scale=model.info.scale)
    shutil.copy(trained / "cost.json", folder)
    files = sorted(folder.iterdir())
    row = {
        "name": name,
        "f": params.f,
        "regularization": params.regularization,
        "files": {path.name: digest_file(path) for path in files},
        "digest": digest_files(files, root=folder),
        "bytes": sum(path.stat().st_size for path in files),
    }
    index = out / "index.json"
    rows = json.loads(index.read_text())["first_stages"] if index.is_file() else []
    rows = sorted([r for r in rows if r["name"] != name] + [row], key=lambda r: str(r["name"]))
    index.write_text(json.dumps({"first_stages": rows}, indent=2) + "\n")


# ---------------------------------------------------------------- measuring


@torch.no_grad()
def reconstruct(stage: Model, images: Pixels, bits: list[float]) -> Pixels:
    """Return decoded posterior modes, uint8 NHWC; appends the bits per pixel of each image."""
    parts = []
    for start in range(0, len(images), 32):
        x = torch.from_numpy(images[start : start + 32]).permute(0, 3, 1, 2).float() / 127.5 - 1
        y = stage.decode(stage.encode(x))
        bits += stage.rate(x).bits_per_pixel.tolist()
        parts.append(((y.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy())
    return np.concatenate(parts)


@torch.no_grad()
def perceptual_distance(images: Pixels, decoded: Pixels) -> float:
    """Return the mean distance of the pairs under the training's perceptual network."""
    net = load_perceptual()
    x, y = (
        torch.from_numpy(each).permute(0, 3, 1, 2).float() / 127.5 - 1 for each in (images, decoded)
    )
    return float(torch.cat([net(a, b) for a, b in zip(x.split(64), y.split(64))]).mean())


def measure(stage: Model, *, resolution: int, texture: Texture, n: int) -> dict[str, float]:
    """Return rate, distortion and rFID on n validation images."""
    indices = split_indices("validation", 0, n)
    images = render(indices, resolution=resolution, texture=texture).images
    bits: list[float] = []
    decoded = reconstruct(stage, images, bits)
    extractor = load_extractor("shapes-net")
    features = [extractor.extract(each)["features"] for each in (decoded, images)]
    return {
        "bits/pixel": float(np.mean(bits)),
        "PSNR": float(psnr(images, decoded).mean()),
        "SSIM": float(ssim(images, decoded).mean()),
        "perceptual": perceptual_distance(images, decoded),
        "rFID": frechet_distance(*features),
    }


def rows_of(name: str, out: Path, n: int) -> dict[str, str]:
    """Return the table's rows of a shipped first stage by their beginnings."""
    stage = load_shipped(name, root=out)
    cost: dict[str, Any] = json.loads((out / name / "cost.json").read_text())
    rows = {}
    for resolution, texture in MEASURED:
        found = measure(stage, resolution=resolution, texture=texture, n=n)
        begin = f"| `{name}` | {resolution} {texture} |"
        rows[begin] = (
            f"{begin} {found['bits/pixel']:.2f} | {found['PSNR']:.2f} | {found['SSIM']:.3f} "
            f"| {found['perceptual']:.3f} | {found['rFID']:.2f} | {n} "
            f"| {cost['seconds']:.0f} |"
        )
        log.info(rows[begin])
    return rows


def write_rows(rows: dict[str, str], document: Path) -> None:
    """Put rows in the place of those that begin alike, or at the end of the document's table."""
    text = document.read_text(encoding="utf-8")
    for begin, row in rows.items():
        line = re.compile("^" + re.escape(begin) + ".*$", re.MULTILINE)
        if line.search(text):
            text = line.sub(lambda _, row=row: row, text)
        else:
            text = text.replace("<!-- end of rows -->", f"{row}\n<!-- end of rows -->")
    document.write_text(text, encoding="utf-8")


@click.command()
@click.option("--f", "factors", multiple=True, type=click.Choice(["2", "4", "8"]))
@click.option("--steps", type=int, help="optimiser steps  [default: by f]")
@click.option("--out", type=click.Path(path_type=Path), default=FIRST_STAGES_FOLDER)
@click.option("--scratch", type=click.Path(path_type=Path), default=Path(".ldmbench/first-stages"))
@click.option("--n", default=1024, show_default=True, help="images that are measured")
@click.option("--threads", default=1, show_default=True)
@click.option("--measure-only", is_flag=True, help="measure what is shipped")
def main(
    factors: tuple[str, ...],
    steps: int | None,
    out: Path,
    scratch: Path,
    n: int,
    threads: int,
    measure_only: bool,
) -> None:
    """Train, write and measure the first stages of the named factors (default: all)."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(threads)
    for f in map(int, factors or ("8", "4", "2")):
        name = f"shapes-kl-f{f}"
        if not measure_only:
            params = params_of(f, steps or STEPS[f])
            ship(name, train(name, params, scratch / name), out)
        write_rows(rows_of(name, out, n), DOCUMENT)


if __name__ == "__main__":
    main()
