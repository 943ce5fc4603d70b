"""The parts of a CompVis checkpoint besides networks: averages, buffers, schedule and scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from ldmbench.errors import InputError
from ldmbench.models.weights import Tensors
from ldmbench.sample import Schedule, cosine_betas
from ldmbench.sources.models.compvis_rules import PREDICTIONS, SCHEDULES

__all__ = ["check_parts", "latent_scale", "read_schedule"]

_TOP = ("model.diffusion_model.", "model_ema.", "first_stage_model.", "cond_stage_model.")
_BUFFERS = frozenset(
    {
        "betas",
        "alphas_cumprod",
        "alphas_cumprod_prev",
        "sqrt_alphas_cumprod",
        "sqrt_one_minus_alphas_cumprod",
        "log_one_minus_alphas_cumprod",
        "sqrt_recip_alphas_cumprod",
        "sqrt_recipm1_alphas_cumprod",
        "posterior_variance",
        "posterior_log_variance_clipped",
        "posterior_mean_coef1",
        "posterior_mean_coef2",
        "lvlb_weights",
        "logvar",
        "scale_factor",
        "cond_ids",
    }
)
_COSINE_OFFSET = 0.008


def check_parts(tensors: Tensors, *, where: str) -> None:
    """Refuse keys that belong to no part of a latent diffusion model."""
    extra = [k for k in tensors if not k.startswith(_TOP) and k not in _BUFFERS]
    if extra:
        raise InputError(
            f"{where}: {len(extra)} keys not asked for, they belong to no part of a latent "
            f"diffusion model ({', '.join(extra[:3])}); where only training reads them, "
            f"`ignore: ['{extra[0]}']` leaves them out (* stands for anything)"
        )


def latent_scale(params: Mapping[str, Any], tensors: Tensors, *, where: str) -> float:
    """Return what latents are multiplied by: measured when training began, or configured."""
    if not params.get("scale_by_std"):
        return float(params.get("scale_factor", 1.0))
    if "scale_factor" not in tensors:
        raise InputError(
            f"{where}: scale_by_std is on, but scale_factor is missing, which was measured when "
            "training began; give the full checkpoint"
        )
    return float(tensors["scale_factor"])


def read_schedule(
    params: Mapping[str, Any], tensors: Tensors, *, where: str, clips: bool = False
) -> Schedule:
    """Return the noise schedule of a config, checked against the betas stored with the weights.

    Args:
        params: of the model.
        tensors: of the checkpoint; `betas` are looked at where they are.
        where: said in messages.
        clips: whether the original clips the predicted clean image.
    """
    name = params.get("beta_schedule", "linear")
    predicts = params.get("parameterization", "eps")
    betas = _own_betas(params, name)
    # of the ancestral chain: v_posterior mixes its two bounds
    variance = "fixed_large" if float(params.get("v_posterior", 0.0)) else "fixed_small"
    options = {"clip_sample": clips, "variance_type": variance}
    schedule = Schedule(
        kind="array" if betas else SCHEDULES[name],
        start=float(params.get("linear_start", 1e-4)),
        end=float(params.get("linear_end", 2e-2)),
        T=len(betas) if betas else int(params.get("timesteps", 1000)),
        prediction=PREDICTIONS[predicts],
        betas=betas,
        spacing="compvis",
        options=tuple(sorted((dict(Schedule().options) | options).items())),
    )
    _check_betas(schedule, tensors.get("betas"), where)
    if params.get("rescale_betas_zero_snr"):
        rescaled = dict(schedule.options) | {"rescale_betas_zero_snr": True}
        return replace(schedule, options=tuple(sorted(rescaled.items())))
    return schedule


def _own_betas(params: Mapping[str, Any], name: str) -> tuple[float, ...] | None:
    """Return betas that no named schedule gives: given ones, sqrt, a cosine of another offset."""
    T, offset = int(params.get("timesteps", 1000)), float(params.get("cosine_s", _COSINE_OFFSET))
    if params.get("given_betas") is not None:
        return tuple(float(beta) for beta in params["given_betas"])
    if name == "sqrt":
        ends = float(params.get("linear_start", 1e-4)), float(params.get("linear_end", 2e-2))
        return tuple(torch.linspace(*ends, T, dtype=torch.float64).sqrt().tolist())
    if name == "cosine" and offset != _COSINE_OFFSET:
        return tuple(cosine_betas(T, offset=offset).tolist())
    return None


def _check_betas(schedule: Schedule, stored: torch.Tensor | None, where: str) -> None:
    """Compare betas as closely as the precision that they were stored in allows."""
    if stored is None:
        return
    ours, written = torch.as_tensor(schedule.beta_array()), stored.double()
    coarse = torch.equal(written, written.to(torch.bfloat16).double())
    near = torch.finfo(torch.bfloat16).eps if coarse else 1e-3
    fits = written.shape == ours.shape
    if not fits or not torch.allclose(written, ours, rtol=near, atol=1e-7):
        raise InputError(
            f"{where}: the config's noise schedule ({schedule.kind}, {schedule.start} to "
            f"{schedule.end}, T = {schedule.T}) is not the one stored with the weights (beta "
            f"{float(written.flatten()[0]):.6g} to {float(written.flatten()[-1]):.6g}, T = "
            f"{written.numel()}); compare beta_schedule, linear_start, linear_end and timesteps"
        )
