"""Dormand and Prince's pair of orders 5 and 4, each sample of a batch with steps of its own."""

from __future__ import annotations

from collections.abc import Callable

import torch
from scipy.integrate import RK45
from torch import Tensor

from ldmbench.errors import InputError

__all__ = ["dormand_prince"]

MOST_ROUNDS = 2000
"""Of steps, after which a field counts as not smooth enough."""
SAFETY, SMALLEST, LARGEST = 0.9, 0.2, 10.0
"""Of the next step's length: a share of the best, and how far it moves at a time."""


def dormand_prince(
    field: Callable[[Tensor, Tensor], Tensor],
    z: Tensor,
    start: float,
    end: float,
    *,
    atol: float = 1e-6,
    rtol: float = 1e-3,
) -> Tensor:
    """Integrate dz / dt = field(z, t) from one time to another.

    The steps of a sample follow from its own error, so that it does not depend on the batch. The
    coefficients are scipy's.

    Args:
        field: (z, t) -> dz / dt; t is (B,), of z's dtype.
        z: (B, ...), at `start`.
        start: time of z.
        end: before or after it.
        atol: error that a step may make in a value, root mean square over a sample.
        rtol: share of the value that is added to it.

    Returns:
        z at `end`, of its shape and dtype.

    Raises:
        InputError: the field takes more than 2,000 rounds of steps.

    Source: doi:10.1016/0771-050X(80)90013-3; step control of Hairer, Norsett and Wanner, II.4.
    """
    forward = 1.0 if end >= start else -1.0
    left = torch.full((len(z),), abs(end - start), dtype=z.dtype, device=z.device)
    slope = forward * field(z, left * 0 + start)
    length = _first_length(z, slope, atol=atol, rtol=rtol)
    for _ in range(MOST_ROUNDS):
        if not bool((left > 0).any()):
            return z
        # Six slopes inside the step, a seventh at its end, which the next step begins with.
        h = torch.minimum(length, left)
        t, slopes = end - forward * left, [slope]
        for row, share in zip(RK45.A[1:], RK45.C[1:]):
            ahead = z + _wide(h, z) * _sum(row, slopes)
            slopes.append(forward * field(ahead, t + forward * h * float(share)))
        new = z + _wide(h, z) * _sum(RK45.B, slopes)
        slopes.append(forward * field(new, t + forward * h))
        # Each sample keeps the step if its error is within bounds; NaN passes, for others to find.
        scale = atol + rtol * torch.maximum(z.abs(), new.abs())
        error = _norm(_wide(h, z) * _sum(RK45.E, slopes) / scale)
        kept = ~(error > 1)
        z = torch.where(_wide(kept, z), new, z)
        slope = torch.where(_wide(kept, z), slopes[-1], slope)
        left = torch.where(kept, torch.where(length >= left, 0.0, left - h), left)
        grown = (SAFETY * error.clamp_min(1e-10) ** -0.2).clamp(SMALLEST, LARGEST)
        length = h * torch.where(kept, grown, grown.clamp_max(1.0))
    raise InputError(
        f"dopri5 took {MOST_ROUNDS} rounds of steps and is not at the end: the velocity changes too"
        " fast for its tolerances; sample with euler or heun"
    )


def _first_length(z: Tensor, slope: Tensor, *, atol: float, rtol: float) -> Tensor:
    """Return a length over which z moves by about a hundredth of itself, (B,)."""
    scale = atol + rtol * z.abs()
    return (0.01 * _norm(z / scale) / _norm(slope / scale).clamp_min(1e-12)).clamp(1e-6, 0.1)


def _sum(weights: object, slopes: list[Tensor]) -> Tensor:
    """Return the weighted sum of as many slopes as there are."""
    rows = [float(w) * k for w, k in zip(weights, slopes) if w]  # type: ignore[call-overload]
    return torch.stack(rows).sum(dim=0)


def _norm(x: Tensor) -> Tensor:
    return x.flatten(1).square().mean(dim=1).sqrt()


def _wide(x: Tensor, like: Tensor) -> Tensor:
    return x.reshape(-1, *([1] * (like.ndim - 1)))
