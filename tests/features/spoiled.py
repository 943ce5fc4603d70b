"""Ways in which images get worse, in numpy; other code than the evaluators were trained with."""

import numpy as np
from scipy.ndimage import gaussian_filter

from ldmbench.data.shapes import SPLIT_OFFSETS, caption_variants, render, scene
from ldmbench.errors import InputError


def validation(start, stop, *, resolution=32, texture="plain", keep=None, first="validation"):
    """Render images of a split; `keep(scenes)` says which ones."""
    indices = np.arange(start, stop) + SPLIT_OFFSETS[first]
    if keep is not None:
        indices = indices[keep(scene(indices))]
    return render(indices, resolution=resolution, texture=texture)


def blur(images, sigma):
    """Blur by sigma in 1/64 of the side."""
    scale = sigma * images.shape[1] / 64
    return to_bytes(gaussian_filter(images.astype(np.float32), (0, scale, scale, 0)))


def noise(images, sigma, seed=5):
    """Add Gaussian noise of sigma grey levels."""
    rng = np.random.default_rng(seed)
    return to_bytes(images + rng.normal(0, sigma, images.shape))


def hue(images, degrees):
    """Turn colours about the grey axis."""
    angle = np.deg2rad(degrees)
    axis = np.ones(3) / np.sqrt(3)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    turn = (
        np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (np.outer(axis, axis) - np.eye(3))
    )
    return to_bytes(images @ turn.T)


def to_bytes(x):
    return np.clip(np.rint(x), 0, 255).astype(np.uint8)


def pure_noise(n, side, seed=9):
    return np.random.default_rng(seed).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


def wrong_captions(index, count):
    """As many one-attribute changes of a validation caption as there are, at most `count`."""
    low, high = 0, count
    while low < high:
        middle = (low + high + 1) // 2
        try:
            caption_variants(index, 0, middle)
            low = middle
        except InputError:
            high = middle - 1
    return caption_variants(index, 0, low)
