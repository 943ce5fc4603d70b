"""Noise schedule and scale of a CompVis checkpoint: config and weights must agree; no torch.

Plan and loader ask here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ldmbench.errors import InputError
from ldmbench.sample import Schedule, cosine_betas
from ldmbench.sources.models.compvis_rules import PREDICTIONS, SCHEDULES
from ldmbench.sources.models.diffusers_schedule import Assumed
from ldmbench.tensors.entries import Held
from ldmbench.tensors.numbers import numbers

__all__ = ["latent_scale", "read_schedule", "unstated"]

_COSINE_OFFSET = 0.008
_NEAR = 1e-3
_BFLOAT16_EPS = 2.0**-7
_DEFAULTS = {"timesteps": 1000, "beta_schedule": "linear", "linear_start": 1e-4, "linear_end": 2e-2}
"""Arguments of DDPM that the stored betas would say."""


def latent_scale(params: Mapping[str, Any], held: Held, *, where: str) -> float:
    """Return what latents are multiplied by: measured when training began, or configured.

    Args:
        params: of the model.
        held: of `look`; a model that measured its scale keeps it among the weights.
        where: said in messages.

    Raises:
        InputError: the measured scale is missing, or the config does not ask for it and states
            another one.
    """
    slot = held.slots.get("scale_factor")
    found = None if slot is None else numbers(held.path, slot)
    stored = None if found is None or found.size != 1 else float(found[0])
    stated = float(params.get("scale_factor", 1.0))
    if params.get("scale_by_std"):
        if stored is None:
            raise InputError(
                f"{where}: scale_by_std is on, but scale_factor is missing, which was measured when"
                " training began; give the full checkpoint"
            )
        return stored
    if stored is not None and not np.isclose(stored, stated, rtol=_NEAR):
        raise InputError(
            f"{where}: its weights hold scale_factor {stored:g}, as training measures it with"
            f" scale_by_std, but the config has scale_factor {stated:g} without scale_by_std; write"
            " scale_by_std: true, or the config that the model was trained with"
        )
    return stated


def unstated(params: Mapping[str, object], held: Held, *, file: str) -> tuple[Assumed, ...]:
    """Return what neither config nor weights say of the process, with CompVis' values."""
    known = "betas" in held.slots or params.get("given_betas") is not None
    fields: dict[str, object] = {"parameterization": "eps"} | ({} if known else _DEFAULTS)
    cosine = params.get("beta_schedule") == "cosine"
    return tuple(
        Assumed(name, value, file, "the default of CompVis' DDPM", today=value)
        for name, value in fields.items()
        if name not in params and not (cosine and name.startswith("linear"))
    )


def read_schedule(
    params: Mapping[str, Any], held: Held, *, where: str, clips: bool = False
) -> Schedule:
    """Return the noise schedule of a config, checked against the betas stored with the weights.

    Args:
        params: of the model.
        held: of `look`; `betas` are looked at where they are.
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
    slot = held.slots.get("betas")
    _check_betas(schedule, None if slot is None else numbers(held.path, slot), where)
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
        return tuple(np.sqrt(np.linspace(*ends, T)).tolist())
    if name == "cosine" and offset != _COSINE_OFFSET:
        return tuple(cosine_betas(T, offset=offset).tolist())
    return None


def _check_betas(schedule: Schedule, written: NDArray[np.float64] | None, where: str) -> None:
    """Compare betas as closely as the precision that they were stored in allows."""
    if written is None:
        return
    ours = schedule.beta_array()
    near = _BFLOAT16_EPS if _is_coarse(written) else _NEAR
    fits = written.shape == ours.shape
    if not fits or not np.allclose(written, ours, rtol=near, atol=1e-7):
        raise InputError(
            f"{where}: the config's noise schedule ({schedule.kind}, {schedule.start} to "
            f"{schedule.end}, T = {schedule.T}) is not the one stored with the weights (beta "
            f"{written[0] if written.size else 0:.6g} to {written[-1] if written.size else 0:.6g},"
            f" T = {written.size}); compare beta_schedule, linear_start, linear_end and timesteps"
        )


def _is_coarse(values: NDArray[np.float64]) -> bool:
    """Tell whether all values are of bfloat16's precision, half of a float32's bits."""
    bits = values.astype(np.float32)
    return bool(np.all(bits == values) and np.all(bits.view(np.uint32) & 0xFFFF == 0))
