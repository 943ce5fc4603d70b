"""The noise schedule: betas, what the network predicts, and how a scheduler is to read them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ldmbench.errors import InputError

__all__ = ["REGRESSION", "Schedule", "cosine_betas"]

Kind = Literal["scaled_linear", "linear", "cosine", "array"]
Prediction = Literal["epsilon", "v_prediction", "sample"]

_TO_DIFFUSERS = {
    "scaled_linear": "scaled_linear",
    "linear": "linear",
    "cosine": "squaredcos_cap_v2",
}
_FROM_DIFFUSERS: dict[str, Kind] = {
    "scaled_linear": "scaled_linear",
    "linear": "linear",
    "squaredcos_cap_v2": "cosine",
}
_OWN = ("beta_schedule", "beta_start", "beta_end", "num_train_timesteps", "prediction_type")


@dataclass(frozen=True)
class Schedule:
    """A forward process, q(z_t | z_0) = N(sqrt(abar_t) z_0, (1 - abar_t) I).

    Source: arXiv:2006.11239, equation 4.

    Attributes:
        kind: "scaled_linear" is linear in sqrt(beta), the LDM paper's; "linear"; "cosine" is
            arXiv:2102.09672, eq. 17; "array" takes `betas` as they are.
        start: first beta of the two linear kinds.
        end: last beta of the two linear kinds.
        T: number of training timesteps.
        prediction: what the network returns: noise, v (arXiv:2202.00512) or the clean latent.
        betas: the betas of kind "array".
        spacing: timestep rule when none is asked for: "compvis", "leading", "trailing",
            "linspace", or None for the solver's own.
        options: further fields of a diffusers scheduler config (clip_sample, steps_offset, ...).
    """

    kind: Kind = "scaled_linear"
    start: float = 0.0015
    end: float = 0.0195
    T: int = 1000
    prediction: Prediction = "epsilon"
    betas: tuple[float, ...] | None = None
    spacing: str | None = "leading"
    options: tuple[tuple[str, Any], ...] = (
        ("clip_sample", False),
        ("set_alpha_to_one", False),
        ("skip_prk_steps", True),
        ("steps_offset", 1),
    )

    def __post_init__(self) -> None:
        """Refuse what cannot be a schedule."""
        if self.prediction not in ("epsilon", "v_prediction", "sample"):
            raise InputError(
                f"prediction '{self.prediction}' is unknown; it is epsilon, v_prediction or sample"
            )
        if self.kind == "array":
            if self.betas is None or len(self.betas) != self.T:
                raise InputError(f"a schedule of kind 'array' needs T = {self.T} betas")
        elif self.kind not in _TO_DIFFUSERS:
            raise InputError(
                f"schedule '{self.kind}' is unknown; there are: {', '.join(_TO_DIFFUSERS)}, array"
            )

    @property
    def is_regression(self) -> bool:
        """Tell whether it is no diffusion: see `REGRESSION`."""
        return self.kind == "array" and self.betas == (1.0,)

    def beta_array(self) -> NDArray[np.float64]:
        """Return the T betas, float64; with rescale_betas_zero_snr the last is 1."""
        betas = self._named_betas()
        return _without_signal(betas) if dict(self.options).get("rescale_betas_zero_snr") else betas

    def _named_betas(self) -> NDArray[np.float64]:
        if self.kind == "array":
            return np.asarray(self.betas, dtype=np.float64)
        if self.kind == "cosine":
            return cosine_betas(self.T)
        if self.kind == "linear":
            straight: NDArray[np.float64] = np.linspace(self.start, self.end, self.T)
            return straight
        roots = np.linspace(math.sqrt(self.start), math.sqrt(self.end), self.T, dtype=np.float64)
        betas: NDArray[np.float64] = np.square(roots)
        return betas

    def alphas_cumprod(self) -> NDArray[np.float64]:
        """Return abar_t = prod (1 - beta_s), (T,), float64."""
        bars: NDArray[np.float64] = np.multiply.accumulate(1.0 - self.beta_array())
        return bars

    def config(self) -> dict[str, Any]:
        """Return the fields of a diffusers scheduler config that mean the same."""
        if self.kind == "array":
            betas: dict[str, Any] = {"trained_betas": list(self.betas or ())}
        else:
            betas = {
                "beta_schedule": _TO_DIFFUSERS[self.kind],
                "beta_start": self.start,
                "beta_end": self.end,
            }
        own = {"num_train_timesteps": self.T, "prediction_type": self.prediction}
        rule = {} if self.spacing in (None, "compvis") else {"timestep_spacing": self.spacing}
        return dict(self.options) | betas | own | rule

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Schedule:
        """Read a diffusers scheduler config (the content of scheduler_config.json).

        Raises:
            InputError: if the betas are of a kind that is not a diffusion of this form.
        """
        options = _options(config)
        prediction: Prediction = config.get("prediction_type") or "epsilon"  # checked on init
        spacing = config.get("timestep_spacing")
        T = int(config.get("num_train_timesteps", 1000))
        trained = config.get("trained_betas")
        if trained is not None:
            betas = tuple(float(beta) for beta in trained)
            return cls(
                kind="array",
                T=len(betas),
                betas=betas,
                prediction=prediction,
                spacing=spacing,
                options=options,
            )
        name = config.get("beta_schedule", "linear")
        if name not in _FROM_DIFFUSERS:
            raise InputError(
                f"beta_schedule '{name}' is not supported; there are: {', '.join(_FROM_DIFFUSERS)}"
            )
        return cls(
            kind=_FROM_DIFFUSERS[name],
            start=float(config.get("beta_start", 0.0001)),
            end=float(config.get("beta_end", 0.02)),
            T=T,
            prediction=prediction,
            spacing=spacing,
            options=options,
        )


REGRESSION = Schedule(
    kind="array",
    T=1,
    betas=(1.0,),
    prediction="sample",
    spacing="trailing",
    options=(("clip_sample", False), ("set_alpha_to_one", True), ("steps_offset", 0)),
)
"""One timestep without signal: the network sees zeros and returns the clean latent.

So a plain regression from the condition is sampled by one step of DDIM, and written as diffusers'
scheduler with trained_betas [1.0].
"""


def _options(config: Mapping[str, object]) -> tuple[tuple[str, object], ...]:
    skipped = (*_OWN, "trained_betas", "timestep_spacing")
    kept = {k: v for k, v in config.items() if not k.startswith("_") and k not in skipped}
    return tuple((k, tuple(v) if isinstance(v, list) else v) for k, v in sorted(kept.items()))


def _without_signal(betas: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return betas whose last timestep holds no signal (arXiv:2305.08891, algorithm 1)."""
    roots = np.sqrt(np.multiply.accumulate(1.0 - betas))
    roots = (roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])
    bars = np.square(roots)
    changed: NDArray[np.float64] = 1 - np.concatenate([bars[:1], bars[1:] / bars[:-1]])
    return changed


def cosine_betas(T: int, *, offset: float = 0.008, largest: float = 0.999) -> NDArray[np.float64]:
    """Return T betas of arXiv:2102.09672, equation 17, float64, clipped at `largest`.

    Args:
        T: number of training timesteps.
        offset: s of the equation, which keeps the first betas from being too small.
        largest: bound of a beta.
    """
    t = np.arange(T + 1, dtype=np.float64) / T
    bar = np.cos((t + offset) / (1 + offset) * math.pi / 2) ** 2
    betas: NDArray[np.float64] = np.minimum(1 - bar[1:] / bar[:-1], largest)
    return betas
