"""Progressive coding: what a diffusion model's steps cost in bits (arXiv:2006.11239, 4.3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ldmbench.errors import InputError

__all__ = ["cumulative_rate", "step_weights"]

Vector = NDArray[np.float64]


def step_weights(alphas_cumprod: Vector) -> Vector:
    """Return w_t with L_t = w_t ||eps - eps_theta||^2, nats (arXiv:2006.11239, equations 5 and 12).

    The reverse variance is that of q(x_{t-1} | x_t, x_0), equation 7:
    w_t = beta_t^2 / (2 sigma_t^2 alpha_t (1 - abar_t)), sigma_t^2 = beta_t (1 - abar_{t-1}) /
    (1 - abar_t). w_0 = 0: the last step is left to the discrete decoder.

    Args:
        alphas_cumprod: abar_t, float64 (T,), falling within (0, 1).

    Raises:
        InputError: if they do not fall within (0, 1).
    """
    abar = np.asarray(alphas_cumprod, dtype=np.float64)
    if abar.ndim != 1 or not np.all(np.diff(abar) < 0) or not 0 < abar[-1] < abar[0] < 1:
        raise InputError("alphas_cumprod must fall within (0, 1)")
    alpha = abar[1:] / abar[:-1]
    beta = 1 - alpha
    sigma2 = beta * (1 - abar[:-1]) / (1 - abar[1:])
    weights: Vector = beta**2 / (2 * sigma2 * alpha * (1 - abar[1:]))
    return np.concatenate([[0.0], weights])


def cumulative_rate(
    timesteps: Vector, squared_errors: Vector, alphas_cumprod: Vector, *, prior: float
) -> Vector:
    """Return the nats spent once the coder has reached each timestep, from T down.

    The squared error is interpolated linearly between the timesteps at which it was measured.

    Args:
        timesteps: where it was measured, ascending, float64 (K,).
        squared_errors: mean ||eps - eps_theta||^2 there, summed over dimensions, float64 (K,).
        alphas_cumprod: abar_t, float64 (T,).
        prior: KL(q(x_T | x_0) || N(0, 1)) in nats.

    Returns:
        float64 (K,): prior + sum of L_s over s > t.
    """
    every = np.arange(len(alphas_cumprod), dtype=np.float64)
    terms = step_weights(alphas_cumprod) * np.interp(every, timesteps, squared_errors)
    from_t: Vector = np.cumsum(terms[::-1])[::-1]
    after = np.append(from_t[1:], 0.0)
    return prior + after[np.asarray(timesteps, dtype=np.int64)]
