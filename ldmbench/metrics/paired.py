"""Paired image measures: PSNR, SSIM and LPIPS of two uint8 image sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ldmbench.errors import InputError
from ldmbench.metrics.arrays import Array, as_array
from ldmbench.metrics.resample import Replicates, mean_over_samples

__all__ = ["CONVENTIONS", "lpips", "lpips_family", "psnr", "ssim"]

PIXELS_AT_ONCE = 1 << 21  # pixels worked on at a time
CHANNELS = (1, 3, 4)  # of grey, colour, and colour with transparency

# name -> (gaussian or uniform window, width, sample covariance, how borders are treated)
# fmt: off
CONVENTIONS: dict[str, tuple[str, int, bool, str]] = {
    "skimage_ssim_gaussian_wang":        ("gaussian", 11, False, "crop"),
    "skimage_ssim_gaussian_samplecov":   ("gaussian", 11, True,  "crop"),
    "skimage_ssim_uniform7_default":     ("uniform",  7,  True,  "crop"),
    "torchmetrics_ssim_default_range255": ("gaussian", 11, False, "reflect"),
}
# fmt: on


def psnr(a: object, b: object) -> Array:
    """Return the peak signal-to-noise ratio of each pair, in dB, peak 255.

    Args:
        a: (N, H, W, C) or grey (N, H, W), uint8 in 0..255; a single (H, W, C) image with one, three
            or four channels is a batch of one.
        b: the same shape.

    Returns:
        (N,) float64; identical images give inf.

    Raises:
        InputError: not uint8 images, or unlike shapes.

    Examples:
        >>> import numpy as np
        >>> black = np.zeros((1, 16, 16, 3), np.uint8)
        >>> psnr(black, black + np.uint8(1)).round(2)
        array([48.13])
    """
    x, y = _images(a, b)
    error = np.empty(len(x))
    for start, stop in _parts(x):
        d = x[start:stop].astype(np.int32) - y[start:stop]
        error[start:stop] = np.square(d, out=d).mean(axis=(1, 2, 3), dtype=np.float64)
    with np.errstate(divide="ignore"):
        return np.asarray(10.0 * np.log10(255.0**2 / error))


def ssim(a: object, b: object, *, convention: str = "skimage_ssim_gaussian_wang") -> Array:
    """Return the structural similarity of each pair (Wang et al. 2004, eq. 13; K = 0.01, 0.03).

    Args:
        a: shapes as in psnr, uint8 in 0..255, each side at least the window (11; uniform 7).
        b: the same shape.
        convention: a row of CONVENTIONS. They differ in the window, in the covariance's divisor,
            and in whether borders are left out or filled by reflection.

    Returns:
        (N,) float64 in [-1, 1]: the mean over positions and channels.

    Raises:
        InputError: not uint8 images, unlike shapes, too small, or an unknown convention.

    Examples:
        >>> import numpy as np
        >>> ramp = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
        >>> ssim(ramp, ramp).round(6)
        array([1.])
    """
    if convention not in CONVENTIONS:
        raise InputError(
            f"unknown SSIM convention '{convention}'; there are: {', '.join(CONVENTIONS)}"
        )
    kind, width, sample, border = CONVENTIONS[convention]
    x, y = _images(a, b)
    if min(x.shape[1:3]) < width:
        raise InputError(
            f"SSIM needs images of at least {width} x {width} pixels, found {x.shape[1]} x "
            f"{x.shape[2]}"
        )
    window = _window(kind, width)
    gain = width**2 / (width**2 - 1) if sample else 1.0
    out = np.empty(len(x))
    for start, stop in _parts(x):
        out[start:stop] = _similarity(x[start:stop], y[start:stop], window, gain, border)
    return out


def lpips(a: object, b: object, **network: Any) -> Array:
    """Return the perceptual distance of each pair (Zhang et al. 2018, eq. 1; version 0.1).

    The network lives with the features and needs torch.

    Args:
        a: (N, H, W, 3) uint8 in 0..255; a single (H, W, 3) image is a batch of one.
        b: the same shape.
        network: net ("alex" or "vgg"), backbone and heads (paths, checked against
            backbone_sha256 and heads_sha256 where these are given; else the files that
            `ldmbench weights` knows, their digests checked), convention, device, offline.

    Returns:
        (N,) float64, 0 for equal images.

    Raises:
        InputError: not uint8 images, unlike shapes, or weights that are missing or wrong.
    """
    x, y = _images(a, b)
    from ldmbench.features.lpips import load_lpips  # it imports torch

    files = {key: Path(network[key]) for key in ("backbone", "heads") if network.get(key)}
    return np.asarray(load_lpips(**(network | files))(x, y))


def lpips_family(
    a: object, b: object, *, confidence: float = 0.95, **network: Any
) -> dict[str, Replicates]:
    """Return {"lpips": ...}: the mean over uint8 NHWC pairs.

    Raises:
        InputError: as lpips says.
    """
    return {"lpips": mean_over_samples(lpips(a, b, **network), confidence)}


def _similarity(x: Array, y: Array, window: Array, gain: float, border: str) -> Array:
    """Return mean SSIM, (B,), of uint8 NHWC parts; letters as in Wang et al. 2004."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    if border == "reflect":
        pad = len(window) // 2
        around = ((0, 0), (pad, pad), (pad, pad), (0, 0))
        x, y = np.pad(x, around, mode="reflect"), np.pad(y, around, mode="reflect")
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mx, my = _filter(x, window), _filter(y, window)
    vx = gain * (_filter(x * x, window) - mx * mx)
    vy = gain * (_filter(y * y, window) - my * my)
    vxy = gain * (_filter(x * y, window) - mx * my)
    top = (2 * mx * my + c1) * (2 * vxy + c2)
    bottom = (mx * mx + my * my + c1) * (vx + vy + c2)
    return np.asarray((top / bottom).mean(axis=(1, 2, 3)))


def _filter(x: Array, window: Array) -> Array:
    """Return the separable filter of NHWC float64 at all positions where the window fits."""
    for axis in (1, 2):
        n = x.shape[axis] - len(window) + 1
        total = np.zeros_like(x.take(range(n), axis=axis))
        for offset, weight in enumerate(window):
            part = x[:, offset : offset + n] if axis == 1 else x[:, :, offset : offset + n]
            total += weight * part
        x = total
    return x


def _window(kind: str, width: int) -> Array:
    if kind == "uniform":
        return np.full(width, 1.0 / width)
    offsets = np.arange(width) - width // 2
    weights = np.exp(-0.5 * (offsets / 1.5) ** 2)
    return np.asarray(weights / weights.sum())


def _images(a: object, b: object) -> tuple[Array, Array]:
    """Return two batches, (N, H, W, C) uint8.

    Three axes are grey images, or one image in colour where the last has 3. Where it has 1 or 4
    they could be either.
    """
    x, y = as_array(a), as_array(b)
    for found in (x, y):
        if found.dtype != np.uint8 or found.ndim not in (3, 4) or found.size == 0:
            raise InputError(
                "image pairs must be uint8 (N, H, W, C) or grey (N, H, W), found "
                f"{found.dtype} {found.shape}"
            )
        if found.ndim == 4 and found.shape[3] not in CHANNELS and found.shape[1] in CHANNELS:
            raise InputError(
                f"image pairs of shape {found.shape} have their channels in front; (N, H, W, C) is "
                "needed, which x.transpose(0, 2, 3, 1) gives"
            )
    if x.shape != y.shape:
        raise InputError(f"image pairs have unlike shapes {x.shape} and {y.shape}")
    if x.ndim == 4:
        return x, y
    if x.shape[2] == 3:
        return x[None], y[None]
    if x.shape[2] in CHANNELS:
        raise InputError(
            f"image pairs of shape {x.shape} may be one image or {len(x)} grey ones; "
            "(N, H, W, C) is needed, which x[None] gives of one and x[..., None] of several"
        )
    return x[..., None], y[..., None]


def _parts(x: Array) -> list[tuple[int, int]]:
    step = max(1, PIXELS_AT_ONCE // max(1, x[0].size))
    return [(start, min(start + step, len(x))) for start in range(0, len(x), step)]
