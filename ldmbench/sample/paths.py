"""What a flow's network returns, as velocity, noise and score (arXiv:2401.08740, section 2).

z = a z_0 + s eps has the velocity u = a' z_0 + s' eps (' is d / dt in the source's time). Together
they give z_0 and eps of u wherever a s' - a' s is not 0, without a division by a or s.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ldmbench.sample.flow import Flow

__all__ = [
    "Levels",
    "diffusion",
    "levels_at",
    "noise_of",
    "path_at",
    "score_of",
    "target_of",
    "velocity_of",
]

BETA_MIN, BETA_MAX = 0.1, 20.0
"""Of the variance-preserving path (arXiv:2011.13456, appendix C)."""


class Levels(NamedTuple):
    """A path at a time: each of the shape of t, of its dtype.

    Attributes:
        signal: a.
        spread: s.
        ratio: a' / a.
        gain: (a s' - a' s) / s.
    """

    signal: Tensor
    spread: Tensor
    ratio: Tensor
    gain: Tensor


def levels_at(flow: Flow, t: Tensor) -> Levels:
    """Return a path at times t in [0, 1], in the source's time; infinite where a or s is 0."""
    d = flow.direction
    x = t if flow.noise_at == 0 else 1 - t  # the distance to noise
    if flow.path == "vp":
        log = -0.25 * (1 - x) ** 2 * (BETA_MAX - BETA_MIN) - 0.5 * (1 - x) * BETA_MIN
        half = (BETA_MIN + (1 - x) * (BETA_MAX - BETA_MIN)) / 2
        variance = -torch.expm1(2 * log)
        return Levels(log.exp(), variance.sqrt(), d * half, -d * half * log.exp() / variance)
    if flow.path == "cosine":
        turn = math.pi / 2
        a, s = torch.sin(turn * x), torch.cos(turn * x)
        return Levels(a, s, d * turn * s / a, -d * turn / s)
    s = 1 - x if flow.noise_at == 0 else t
    return Levels(x, s, d / x, -d / s)


def velocity_of(flow: Flow, out: Tensor, z: Tensor, t: Tensor) -> Tensor:
    """Return the velocity, if the network returned `out` for latents z (B, C, h, w) at t (B,)."""
    if flow.prediction == "velocity":
        return out
    at = _spread_out(levels_at(flow, t), z)
    score = out if flow.prediction == "score" else -out / at.spread
    # u = (a' / a) z - (s gain / a) s score; s gain = a s' - a' s
    return at.ratio * z - at.gain * at.spread**2 / at.signal * score


def noise_of(flow: Flow, velocity: Tensor, z: Tensor, t: Tensor) -> Tensor:
    """Return (a u - a' z) / (a s' - a' s), the noise in z (B, C, h, w) of velocity u at t (B,)."""
    at = _spread_out(levels_at(flow, t), z)
    if flow.path == "linear":
        return z - flow.direction * at.signal * velocity
    if flow.path == "cosine":
        turn = math.pi / 2
        return at.spread * z - flow.direction / turn * at.signal * velocity
    return at.spread * (z - velocity / at.ratio)


def path_at(flow: Flow, clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """Return z = a z_0 + s eps, (B, C, h, w), at times t (B,)."""
    at = _spread_out(levels_at(flow, t), clean)
    return at.signal * clean + at.spread * noise


def target_of(flow: Flow, clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """Return what the network is trained to return, (B, C, h, w), at times t (B,) before noise.

    Of the path `vp`, and of a score, t also lies behind data.
    """
    at = _spread_out(levels_at(flow, t), clean)
    if flow.prediction == "noise":
        return noise
    if flow.prediction == "score":
        return -noise / at.spread
    if flow.path == "linear":
        return flow.direction * (clean - noise)
    if flow.path == "cosine":
        return flow.direction * math.pi / 2 * (at.spread * clean - at.signal * noise)
    return at.ratio * at.signal * (clean - at.signal / at.spread * noise)


def score_of(flow: Flow, velocity: Tensor, z: Tensor, t: Tensor) -> Tensor:
    """Return the score, - noise / s, of latents z (B, C, h, w) at times t (B,) before data."""
    return -noise_of(flow, velocity, z, t) / _spread_out(levels_at(flow, t), z).spread


def diffusion(flow: Flow, t: Tensor) -> Tensor:
    """Return g(t) of the reverse SDE, not negative, of t's shape and dtype."""
    form, norm = flow.sde.form, flow.sde.norm
    at, to_noise = levels_at(flow, t), (t if flow.noise_at == 0 else 1 - t)
    if form == "sigma":
        return norm * at.spread
    if form == "linear":
        return norm * (1 - to_noise)
    if form == "decreasing":
        return 0.25 * (norm * torch.cos(math.pi * to_noise) + 1) ** 2
    if form == "bump":
        return norm * torch.sin(math.pi * to_noise) ** 2
    if form == "constant":
        return torch.full_like(t, norm)
    return norm * (at.gain * at.spread**2 / at.signal).abs()


def _spread_out(levels: Levels, z: Tensor) -> Levels:
    return Levels(*(one.reshape(-1, 1, 1, 1).to(z.dtype) for one in levels))
