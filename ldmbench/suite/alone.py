"""First stages alone: how a suite writes them, and which models from elsewhere are such."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ldmbench.errors import InputError
from ldmbench.plugin_files import methods
from ldmbench.schema.base import Noun
from ldmbench.schema.models import CallModel, FirstStageModel, LoadModel, ModelFacts
from ldmbench.schema.suite import Suite
from ldmbench.suite.axes import many
from ldmbench.suite.models import each_path, facts_or_none
from ldmbench.suite.read import Loc

__all__ = ["check_alone", "codes", "has_posterior", "is_alone", "with_first_stages_alone"]

_LOADED = ("path", "config", "ema", "ignore", "latents")
"""Fields of an `autoencoder` from disk that `kind: load` has too."""
_OF_SAMPLES = (
    *("tokenizer", "null_class", "guided_channels", "guidance_interval", "call"),
    *("downscale", "mask", "blur"),
)
"""Fields of `kind: load` about models that sample."""


def with_first_stages_alone(values: Any, wrong: list[tuple[Loc, str]]) -> Any:
    """Return a suite's values with models of `denoiser: null` under a kind of their own.

    One whose first stage lies on disk is the same as `kind: load` of it.

    Args:
        values: as YAML has them, not checked yet.
        wrong: problems are added here.
    """
    models = values.get("models") if isinstance(values, dict) else None
    if not isinstance(models, dict):
        return values
    return {**values, "models": {name: _alone(name, m, wrong) for name, m in models.items()}}


def _alone(name: str, model: object, wrong: list[tuple[Loc, str]]) -> object:
    if not isinstance(model, dict) or model.get("kind", "ldm") != "ldm":
        return model
    if "denoiser" not in model or model["denoiser"] is not None:
        return model
    idle = [field for field in ("budget", "init", "guidance_interval") if field in model]
    for field in idle:
        more = "; the first stage has its own: autoencoder.budget" if field == "budget" else ""
        wrong.append(
            (
                ("models", name, field),
                f"found {field} beside denoiser: null, and it is about a denoiser; leave it"
                f" out{more}",
            )
        )
    kept = {field: value for field, value in model.items() if field not in idle}
    section = model.get("autoencoder")
    if not isinstance(section, dict) or section.get("path") is None:
        return {**kept, "kind": "first_stage"}
    for field in section:
        if field not in _LOADED:
            wrong.append(
                (
                    ("models", name, "autoencoder", field),
                    f"found {field} beside path and denoiser: null, a first stage alone from disk;"
                    f" allowed: {', '.join(_LOADED)}",
                )
            )
    loaded = {field: value for field, value in section.items() if field in _LOADED}
    data = {"data": model["data"]} if "data" in model else {}
    return {"kind": "load", **loaded, **data}


def is_alone(model: object, folder: Path) -> bool:
    """Tell whether one point of a model is a first stage alone.

    Args:
        model: of a suite, without axes.
        folder: of the suite file.
    """
    if isinstance(model, FirstStageModel):
        return True
    if isinstance(model, LoadModel):
        facts = facts_or_none(model, folder)
        return facts is not None and not facts.samples
    return isinstance(model, CallModel) and codes(model, folder)


def codes(model: CallModel, folder: Path) -> bool:
    """Tell whether code of the user's own is a first stage: it has encode, decode, no sample."""
    try:
        found = methods(model.target, folder.resolve(), "models")
    except InputError:  # said of the target itself
        return False
    return {"encode", "decode"} <= found and not {"sample", "__call__"} & found


def has_posterior(model: Noun, folder: Path) -> bool:
    """Tell whether `latents` of one point of a first stage alone means anything: it is a KL."""
    if isinstance(model, FirstStageModel):
        return model.autoencoder.f != 1 and model.autoencoder.regularization == "kl"
    facts = facts_or_none(model, folder) if isinstance(model, LoadModel) else None
    return facts is not None and facts.regularization == "kl" and not facts.samples


def check_alone(suite: Suite, folder: Path) -> Iterator[tuple[Loc, str]]:
    """Yield (place, problem) of first stages alone.

    Args:
        suite: as written.
        folder: of the suite file.
    """
    for name, model in suite.models.items():
        if isinstance(model, FirstStageModel):
            if 1 in many(model.autoencoder.f):
                yield (
                    ("models", name, "autoencoder", "f"),
                    "found 1 with denoiser: null, which is the identity and loses nothing; allowed:"
                    " f of 2 or more",
                )
        elif isinstance(model, LoadModel):
            facts = [facts_or_none(one, folder) for one in each_path(model)]
            for field, text in _loaded(model, [one for one in facts if one]):
                yield ("models", name, field), text


def _loaded(model: LoadModel, facts: Sequence[ModelFacts]) -> Iterator[tuple[str, str]]:
    """Yield fields that mean nothing for what lies at the paths of a model."""
    written = model.model_fields_set
    alone = [one for one in facts if not one.samples]
    if "latents" in written and len(alone) < len(facts):
        yield (
            "latents",
            f"found {_text(model.latents)} with a model that samples, whose reconstructions are of"
            " the mode; allowed: latents with a first stage alone",
        )
    if "latents" in written and alone and not any(one.regularization == "kl" for one in alone):
        yield (
            "latents",
            f"found {_text(model.latents)}, but this first stage has no posterior"
            f" ({alone[0].source}); leave it out",
        )
    for field in _OF_SAMPLES:
        if field in written and alone:
            yield (
                field,
                f"found {field} with a first stage alone ({alone[0].source}), which has no samples;"
                " leave it out",
            )


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
