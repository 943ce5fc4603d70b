"""The parts of a CompVis checkpoint besides networks: averages, buffers, schedule and scale."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ldmbench.errors import InputError
from ldmbench.models.compvis_rules import SCHEDULES
from ldmbench.models.weights import Tensors, select
from ldmbench.sample import Schedule, cosine_betas

__all__ = ["averaged", "check_parts", "latent_scale", "read_schedule", "with_aliases"]

_UNTRAINED = ("colorize", "loss.", "quantize.embed_prob", "quantize.used")
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
_PREDICTIONS: dict[str, Any] = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}


def averaged(tensors: Tensors, prefix: str, *, where: str) -> Tensors | None:
    """Return the EMA weights under their dotted names, or None where there are none.

    The original's averages are buffers, whose names have no dots; the raw weights say where the
    dots were. Buffers and losses have no averages.

    Args:
        tensors: the whole checkpoint.
        prefix: where the averaged module is: "model." or, for a first stage, "".
        where: said in messages.

    Raises:
        InputError: some averages are missing or left over.
    """
    kept = select(tensors, "model_ema.")
    if not kept:
        return None
    names = [k[len(prefix) :] for k in tensors if k.startswith(prefix)]
    flat = {n: n.replace(".", "") for n in names if not n.startswith("model_ema.")}
    lacking = [n for n, short in flat.items() if short not in kept and not n.startswith(_UNTRAINED)]
    left = sorted(set(kept) - set(flat.values()) - {"decay", "num_updates"})
    if lacking or left:
        first = (lacking or left)[0]
        raise InputError(
            f"{where}: the averaged weights are not those of the model: {len(lacking)} missing, "
            f"{len(left)} not asked for ({first}, ...); load(..., ema=False) takes the raw ones"
        )
    return {n: kept[short] for n, short in flat.items() if short in kept}


def check_parts(tensors: Tensors, *, where: str) -> None:
    """Refuse keys that belong to no part of a latent diffusion model."""
    extra = [k for k in tensors if not k.startswith(_TOP) and k not in _BUFFERS]
    if extra:
        raise InputError(
            f"{where}: {len(extra)} keys not asked for, they belong to no part of a latent "
            f"diffusion model ({', '.join(extra[:3])}); is its config the one it was trained with?"
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
        prediction=_PREDICTIONS[predicts],
        betas=betas,
        spacing="compvis",
        options=tuple(sorted((dict(Schedule().options) | options).items())),
    )
    _check_betas(schedule, tensors.get("betas"), where)
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


def with_aliases(tensors: Tensors, path: Path) -> Tensors:
    """Return tensors with the names that safetensors dropped because they share memory.

    `safetensors.torch.save_model` keeps one name of a shared tensor and notes the others in the
    file's metadata.
    """
    if path.suffix != ".safetensors":
        return tensors
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        noted: dict[str, str] = file.metadata() or {}
    return tensors | {k: tensors[v] for k, v in noted.items() if v in tensors and k not in tensors}


def _check_betas(schedule: Schedule, stored: torch.Tensor | None, where: str) -> None:
    if stored is None:
        return
    ours = torch.as_tensor(schedule.beta_array())
    fits = stored.shape == ours.shape
    if not fits or not torch.allclose(stored.double(), ours, rtol=1e-3, atol=1e-7):
        raise InputError(
            f"{where}: the config's noise schedule ({schedule.kind}, {schedule.start} to "
            f"{schedule.end}, T = {schedule.T}) is not the one stored with the weights (beta "
            f"{float(stored[0]):.6g} to {float(stored[-1]):.6g}, T = {len(stored)}); "
            "give the config it was trained with"
        )
