"""First stages of models that are trained here: where they come from, and whether they fit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from ldmbench.errors import InputError
from ldmbench.registry import nearest
from ldmbench.schema.models import (
    AutoencoderParams,
    FirstStageModel,
    FirstStageSection,
    LdmModel,
    LoadModel,
    Model,
    ModelFacts,
)
from ldmbench.schema.suite import Suite
from ldmbench.suite.axes import many
from ldmbench.suite.models import absent, facts_of, facts_or_none, odd_sides, useless
from ldmbench.suite.read import Loc

__all__ = [
    "check_first_stages",
    "factors_of",
    "taken_from",
    "with_facts",
    "with_first_stages_of",
]

_FROM_DISK = ("config", "ema", "ignore", "path", "scale")
_OF_LATENTS = ("flip", "latents")
M = TypeVar("M")
_MIRRORS = ("none", "class", "caption")
"""Conditions that an image and its mirror image share."""


def taken_from(section: FirstStageSection, path: str | None = None) -> LoadModel | None:
    """Return the model on disk whose first stage a section takes; None where it takes none.

    Args:
        section: one point of an `autoencoder`, or its written form.
        path: one of its axis.
    """
    place = path or section.path
    if not isinstance(place, str):
        return None
    ema = section.ema[0] if isinstance(section.ema, tuple) else section.ema
    return LoadModel(kind="load", path=place, config=section.config, ema=ema, ignore=section.ignore)


def with_facts(model: M, folder: Path) -> M:
    """Return one point of a model whose first stage from disk says its f, kind and channels.

    Args:
        model: as the suite writes it.
        folder: of the suite file.
    """
    if not isinstance(model, LdmModel) or model.autoencoder.path is None:
        return model
    taken = taken_from(model.autoencoder)
    assert taken is not None
    facts = facts_of(taken, folder)
    rule = facts.latents
    assert rule is not None  # as `check_first_stages` saw to it
    kind = "vq" if facts.regularization == "vq" else "kl"
    stated = {"f": rule.f, "latent_channels": rule.channels, "regularization": kind}
    section = model.autoencoder.model_copy(update=stated)
    return model.model_copy(update={"autoencoder": section})


def factors_of(section: FirstStageSection, folder: Path) -> tuple[int, ...]:
    """Return the downsampling factors of a written first stage, those on disk included."""
    if section.path is None:
        return many(section.f)
    found = []
    for path in many(section.path):
        taken = taken_from(section, path)
        facts = facts_or_none(taken, folder) if taken else None
        if facts and facts.latents:
            found.append(facts.latents.f)
    return tuple(found)


def with_first_stages_of(suite: Suite) -> tuple[Suite, list[tuple[Loc, str]]]:
    """Return the suite with `autoencoder.of` replaced by what that model writes, and problems."""
    models, found = dict(suite.models), list[tuple[Loc, str]]()
    for name, model in suite.models.items():
        if model.kind != "ldm" or model.autoencoder.of is None:
            continue
        loc: Loc = ("models", name, "autoencoder", "of")
        problem = _misnamed(suite, name, model)
        if problem:
            found.append((loc, problem))
        else:
            models[name] = _borrowed(model, suite.models[model.autoencoder.of])
    return suite.model_copy(update={"models": models}), found


def _misnamed(suite: Suite, name: str, model: LdmModel) -> str | None:
    """Return why a model cannot take another one's first stage."""
    section, wanted = model.autoencoder, str(model.autoencoder.of)
    others = [n for n, m in suite.models.items() if n != name and _lends(m)]
    beside = sorted(section.model_fields_set - {"of", *_OF_LATENTS})
    if beside:
        return (
            f"found {', '.join(beside)} beside of: {wanted}, whose first stage is taken as it is;"
            f" allowed beside it: {', '.join(_OF_LATENTS)}"
        )
    if wanted not in others:
        there = ", ".join(others) or "none"
        return (
            f"found '{wanted}'{nearest(wanted, others)}; allowed: another model of the suite, of"
            f" kind ldm or load, with a denoiser or none, that writes its own first stage: {there}"
        )
    other = suite.models[wanted]
    own = other.autoencoder if isinstance(other, LdmModel | FirstStageModel) else None
    placed = getattr(own, "path", None) is not None
    if own and not placed and own.weights is None and other.data != model.data:
        return (
            f"found '{wanted}', whose first stage is trained on data.{other.data or '(all)'}, and"
            f" this model on data.{model.data or '(all)'}; allowed: a model of the same data;"
            " `ldmbench export` writes a trained one, which autoencoder.path takes"
        )
    return None


def _lends(model: Model) -> bool:
    if isinstance(model, LdmModel):
        return model.autoencoder.of is None
    return isinstance(model, LoadModel | FirstStageModel)


def _borrowed(model: LdmModel, other: Model) -> LdmModel:
    """Return a model with the first stage of another; what it says of latents stays its own."""
    own = {n: getattr(model.autoencoder, n) for n in _OF_LATENTS}
    if isinstance(other, LdmModel):
        section = other.autoencoder.model_copy(update=own)
    elif isinstance(other, FirstStageModel):
        theirs = {n: getattr(other.autoencoder, n) for n in AutoencoderParams.model_fields}
        section = model.autoencoder.model_copy(update={**theirs, **own, "of": None})
    else:
        place = {n: getattr(other, n) for n in ("path", "config", "ema", "ignore")}
        section = model.autoencoder.model_copy(update={**place, **own, "of": None})
    return model.model_copy(update={"autoencoder": section})


def check_first_stages(suite: Suite, folder: Path) -> Iterator[tuple[Loc, str]]:
    """Yield (place, problem) of first stages under denoisers that are trained here.

    Args:
        suite: as written.
        folder: of the suite file.
    """
    for name, model in suite.models.items():
        if model.kind != "ldm":
            continue
        loc: Loc = ("models", name, "autoencoder")
        yield from _unfit_fields(loc, model)
        for path in many(model.autoencoder.path):
            if path is not None:
                sides = _sides(suite, model)
                yield from _unfit(loc, model.autoencoder, path, folder, sides)


def _unfit_fields(loc: Loc, model: LdmModel) -> Iterator[tuple[Loc, str]]:
    """Yield fields that mean nothing for a first stage of its origin."""
    section = model.autoencoder
    written = section.model_fields_set
    if section.path is not None:
        idle = sorted(written & set(AutoencoderParams.model_fields))
        if idle:
            yield (
                (*loc, idle[0]),
                f"found {', '.join(idle)} beside path, whose first stage is not trained and says"
                f" itself what it is; allowed beside it: {', '.join((*_FROM_DISK, *_OF_LATENTS))}",
            )
    else:
        idle = sorted(written & {*_FROM_DISK} - {"path"})
        if idle:
            yield (
                (*loc, idle[0]),
                f"found {', '.join(idle)} without path; allowed: path: FOLDER beside it, the first"
                " stage that it is about",
            )
    odd = [kind for kind in many(model.denoiser.conditioning) if kind not in _MIRRORS]
    if section.flip is not False and odd:
        yield (
            (*loc, "flip"),
            f"found {section.flip} with the conditioning {odd[0]}, which a mirror image does not"
            f" share; allowed: {', '.join(_MIRRORS)}",
        )
    if section.flip is not False and section.path is None and 1 in many(section.f):
        yield (
            (*loc, "flip"),
            f"found {section.flip} with f = 1, which trains on pixels and has no latents to encode"
            " once; allowed: f of 2 or more",
        )


def _sides(suite: Suite, model: LdmModel) -> dict[str, tuple[int, ...]]:
    """Return the resolutions of each data set that a model is crossed with."""
    names = [model.data] if model.data in suite.data else list(suite.data)
    found = {name: suite.data[name].resolution for name in names if name}
    return {name: many(side) for name, side in found.items()}


def _unfit(
    loc: Loc,
    section: FirstStageSection,
    path: str,
    folder: Path,
    sides: dict[str, tuple[int, ...]],
) -> Iterator[tuple[Loc, str]]:
    """Yield what is wrong with one first stage on disk."""
    taken = taken_from(section, path)
    assert taken is not None
    missing = [((*loc, field), text) for field, text in absent(taken, folder)]
    if missing:
        yield from missing
        return
    try:
        facts = facts_of(taken, folder)
    except InputError as error:
        yield (*loc, "path"), str(error)
        return
    for text in (*useless(facts), *odd_sides(facts, sides)):
        yield (*loc, "path"), f"found '{path}', {text}"
    if section.scale is not None and facts.latents and not _is_open(facts):
        yield (
            (*loc, "scale"),
            f"found {section.scale:g}, but '{path}' states the scale of its latents itself;"
            " allowed: scale beside a first stage that does not",
        )


def _is_open(facts: ModelFacts) -> bool:
    return facts.latents is not None and bool(facts.latents.assumed)
