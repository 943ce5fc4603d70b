"""What the repositories of DiT, SiT, REPA and LightningDiT do, in tables; no torch.

Each trains one kind of transformer and samples it in its own time, with its own steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ldmbench.errors import InputError
from ldmbench.registry import nearest
from ldmbench.sample.flow import Flow, Sde
from ldmbench.sample.schedule import Schedule

__all__ = ["HEADS", "SOURCES", "Source", "flow_of", "schedule_of"]

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
    kind = section.get("noise_schedule", "linear")
    if kind != "linear":
        raise InputError(
            f"{where}: diffusion.noise_schedule is '{kind}'; allowed is linear, DiT's own"
        )
    options = {
        "clip_sample": False,
        "set_alpha_to_one": True,
        "steps_offset": 0,
        "variance_type": "learned_range" if learned else "fixed_large",
    }
    return Schedule(
        kind="linear",
        start=float(section.get("beta_start", 0.0001)),
        end=float(section.get("beta_end", 0.02)),
        T=int(section.get("timesteps", 1000)),
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
        shift=float(sample.get("timestep_shift") or 1.0),
        atol=float(sample.get("atol", 1e-6)),
        rtol=float(sample.get("rtol", 1e-3)),
    )


def _word(found: object, known: dict[str, object], field: str, where: str) -> Any:
    word = str(found).lower()
    if word not in known:
        said = "is not stated" if found is None else f"is '{found}'{nearest(word, known)}"
        raise InputError(
            f"{where}: transport.{field} {said}; the weights do not say it, so write one of"
            f" {', '.join(known)} into config.yaml beside them"
        )
    return known[word]
