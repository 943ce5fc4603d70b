"""What the repositories of DiT, SiT, REPA and LightningDiT do, in tables; no torch.

Each trains one kind of transformer and samples it in its own time, with its own steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from ldmbench.errors import InputError
from ldmbench.registry import nearest
from ldmbench.sample.flow import Flow, Sde
from ldmbench.sample.schedule import Schedule

__all__ = ["HEADS", "SOURCES", "Source", "flow_of", "real", "schedule_of"]

Name = Literal["dit", "sit", "repa", "lightningdit"]


@dataclass(frozen=True)
class Source:
    """One repository.

    Attributes:
        name: in configs and records.
        network: its class.
        about: repository and paper.
        target: by which a config names it.
        f: downsampling factor of the first stage that it is trained on.
        scale: of that first stage's latents; None: the statistics of a file.
        guided: of a latent's channels, from the first, that its guidance moves; None is all.
        quantize: its rule from [-1, 1] to uint8.
    """

    name: Name
    network: str
    about: str
    target: str
    f: int
    scale: float | None
    guided: int | None
    quantize: Literal["round", "truncate"]


SOURCES: dict[str, Source] = {
    row.name: row
    for row in (
        Source("dit", "DiT", "facebookresearch/DiT", "models.DiT", 8, 0.18215, 3, "round"),
        Source("sit", "SiT", "willisma/SiT", "models.SiT", 8, 0.18215, 3, "round"),
        Source("repa", "SiT", "sihyun-yu/REPA", "models.sit.SiT", 8, 0.18215, None, "truncate"),
        Source(
            "lightningdit", "LightningDiT", "hustvl/LightningDiT",
            "models.lightningdit.LightningDiT", 16, None, 3, "round",
        ),
    )
}  # fmt: skip
HEADS = {
    (12, 384): 6,
    (12, 768): 12,
    (24, 1024): 16,
    (28, 1152): 16,
    (24, 1536): 24,
    (28, 1792): 28,
}
"""(depth, width) -> heads, of the sizes that the repositories name: S, B, L, XL, 1p0B, 1p6B."""
_SIT_PATHS: dict[str, object] = {"linear": "linear", "gvp": "cosine", "vp": "vp"}
_REPA_PATHS: dict[str, object] = {"linear": "linear", "cosine": "cosine"}
_PREDICTIONS: dict[str, object] = {"velocity": "velocity", "noise": "noise", "score": "score"}
_DIFFUSION = (
    "beta_end", "beta_start", "diffusion_steps", "learn_sigma", "noise_schedule", "predict_xstart",
    "rescale_learned_sigmas", "respacing", "sigma_small", "timestep_respacing", "timesteps",
    "use_kl",
)  # fmt: skip
"""Fields of `diffusion`: arguments of DiT's create_diffusion, and what they make."""
_MARGIN = 1e-3
"""What SiT leaves out of time where the velocity is infinite."""


def schedule_of(learned: bool, section: dict[str, Any], where: str) -> Schedule:
    """Return DiT's diffusion: linear betas, its timesteps respaced evenly from 0 to T - 1.

    Args:
        learned: whether the network returns a variance.
        section: `diffusion` of a config; empty takes the repository's.
        where: said in messages.

    Raises:
        InputError: a schedule that the repository does not have.
    """
    odd = next((name for name in section if name not in _DIFFUSION), None)
    if odd is not None:
        raise InputError(
            f"{where}: diffusion.{odd}{nearest(odd, _DIFFUSION)} is not known; allowed are"
            f" {', '.join(_DIFFUSION)}"
        )
    kind = section.get("noise_schedule", "linear")
    if kind != "linear":
        raise InputError(
            f"{where}: diffusion.noise_schedule is '{kind}'; allowed is linear, DiT's own"
        )
    steps = section.get("timesteps", section.get("diffusion_steps", 1000))
    T = int(real(steps, "diffusion.timesteps", where))
    if steps != T or T < 1 or section.get("diffusion_steps", T) != T:
        raise InputError(
            f"{where}: diffusion.timesteps is {steps} and diffusion_steps"
            f" {section.get('diffusion_steps', steps)}; needed is one whole number from 1"
        )
    fixed = "fixed_small" if section.get("sigma_small") else "fixed_large"
    options = {
        "clip_sample": False,
        "set_alpha_to_one": True,
        "steps_offset": 0,
        "variance_type": "learned_range" if learned else fixed,
    }
    return Schedule(
        kind="linear",
        start=real(section.get("beta_start", 0.0001 * 1000 / T), "diffusion.beta_start", where),
        end=real(section.get("beta_end", 0.02 * 1000 / T), "diffusion.beta_end", where),
        T=T,
        prediction="sample" if section.get("predict_xstart") else "epsilon",
        spacing="linspace",
        options=tuple(sorted(options.items())),
    )


def flow_of(name: str, path: Any, prediction: Any, sample: dict[str, Any], where: str) -> Flow:
    """Return how a source walks from noise to data.

    Args:
        name: of the source.
        path: its word for the path.
        prediction: its word for what the network returns.
        sample: LightningDiT's section `sample`.
        where: said in messages.

    Raises:
        InputError: words that the source does not have, or that are not stated.
    """
    if name == "repa":
        known = _word(path, _REPA_PATHS, "path_type", where)
        _word(prediction, {"v": "velocity"}, "prediction", where)
        return Flow(
            path=known,
            noise_at=1,
            state="float64",
            sde=Sde(form="linear", last="mean", last_size=0.04),
        )
    known = _word(path, _SIT_PATHS, "path_type", where)
    predicts = _word(prediction, _PREDICTIONS, "prediction", where)
    margins = (0.0, _MARGIN) if known == "vp" else (0.0, 0.0)
    if predicts != "velocity" and known != "vp":
        margins = (_MARGIN, _MARGIN)
    return Flow(
        path=known,
        noise_at=0,
        prediction=predicts,
        grid="points",
        margins=margins,
        last_heun=True,
        guided_by="evaluation",
        shift=_shift(sample.get("timestep_shift"), where),
        atol=real(sample.get("atol", 1e-6), "sample.atol", where),
        rtol=real(sample.get("rtol", 1e-3), "sample.rtol", where),
    )


def _shift(found: object, where: str) -> float:
    """Return s of shifted times; 0 and none at all leave them."""
    shift = real(found or 0, "sample.timestep_shift", where)
    if shift < 0:
        raise InputError(f"{where}: sample.timestep_shift is {shift:g}; allowed is a number from 0")
    return shift or 1.0


def real(found: object, name: str, where: str) -> float:
    """Return a number of a config.

    Raises:
        InputError: it is none, or not finite.
    """
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        raise InputError(f"{where}: {name} is {found!r}; allowed is a number")
    return float(found)


def _word(found: object, known: dict[str, object], field: str, where: str) -> Any:
    word = str(found).lower()
    if word not in known:
        said = "is not stated" if found is None else f"is '{found}'{nearest(word, known)}"
        raise InputError(
            f"{where}: transport.{field} {said}; the weights do not say it, so write one of"
            f" {', '.join(known)} into config.yaml beside them"
        )
    return known[word]
