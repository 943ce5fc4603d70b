"""What the tests of `ldmbench score` share: small inputs, and the command."""

import json

import numpy as np
from PIL import Image

from ldmbench.cli import outcome

COUNT = 24


def pixels(seed, count=COUNT, side=16):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def write_images(folder, seed=0, count=COUNT, side=16, suffix="png"):
    """Write a folder of images and return it."""
    folder.mkdir(parents=True)
    for i, array in enumerate(pixels(seed, count, side)):
        Image.fromarray(array).save(folder / f"{i:03d}.{suffix}")
    return folder


def write_features(path, seed=0, count=40, width=6, **more):
    rows = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
    np.savez(path, features=rows, **more)
    return path


def scored(capsys, *arguments):
    code = outcome(["score", *map(str, arguments), "--json"])
    shown = capsys.readouterr()
    assert code == 0, shown.err
    found = json.loads(shown.out)
    return {s["name"]: s for s in found["scores"]}, found["warnings"]
