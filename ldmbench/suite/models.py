"""Models of a suite that are not trained here: what is on disk, and whether it fits the data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ldmbench.catalog import FACTS
from ldmbench.errors import InputError
from ldmbench.registry import resolve
from ldmbench.schema.models import ModelFacts

CONDITIONINGS = {"none": "none", "class": "class", "text": "caption"}
"""What a loaded model is conditioned on -> what a dataset gives it."""


def place_of(name: str | None, folder: Path) -> Path | None:
    """Return a path of the suite as it is, relative ones from the suite's folder."""
    return None if name is None else (folder / name).resolve()


def facts_of(spec: Any, folder: Path) -> ModelFacts:
    """Return what the configs of a model on disk say.

    Args:
        spec: a LoadModel, or its written form.
        folder: of the suite file.

    Raises:
        InputError: if it is not there, or its configs cannot be read.
    """
    look: Any = resolve(FACTS["load"])
    facts: ModelFacts = look(
        (folder / spec.path).resolve(),
        config=place_of(spec.config, folder),
        ema=spec.ema[0] if isinstance(spec.ema, tuple) else spec.ema,
        tokenizer=place_of(spec.tokenizer, folder),
    )
    return facts


def facts_or_none(spec: Any, folder: Path) -> ModelFacts | None:
    """Return the facts of a loaded model, or None where `check_loaded` has something to say."""
    try:
        return facts_of(spec, folder)
    except InputError:
        return None


def check_loaded(
    spec: Any, folder: Path, *, sides: Sequence[tuple[str, int]]
) -> Iterator[tuple[str, str]]:
    """Yield (field, problem) for a model on disk.

    Args:
        spec: the written form of a LoadModel.
        folder: of the suite file.
        sides: (dataset, resolution) of everything it is crossed with.
    """
    absent = list(_absent(spec, folder))
    if absent:
        yield from absent
        return
    try:
        facts = facts_of(spec, folder)
    except InputError as error:
        yield "path", str(error)
        return
    if not facts.samples:
        yield (
            "path",
            f"found '{spec.path}', which is a first stage alone ({facts.source}) and cannot be"
            " sampled; allowed: a diffusion model",
        )
        return
    if facts.missing:
        yield "tokenizer", f"{spec.path} {facts.missing}; name its folder or file"
    if facts.conditioning not in CONDITIONINGS:
        yield (
            "path",
            f"found '{spec.path}', which is conditioned on {facts.conditioning}, and no dataset of"
            f" a suite gives that; allowed: {', '.join(CONDITIONINGS)}; `ldmbench.models.load`"
            " samples it in Python",
        )
    for dataset, side in sides:
        if facts.sides != (side, side):
            made = f"{facts.sides[0]} x {facts.sides[1]}"
            yield (
                "path",
                f"found '{spec.path}', which makes images of {made} (f = {facts.f}), but"
                f" data.{dataset} has resolution {side}; allowed: a dataset of {facts.sides[0]}",
            )


def _absent(spec: Any, folder: Path) -> Iterator[tuple[str, str]]:
    if not (folder / spec.path).exists():
        yield (
            "path",
            f"found '{spec.path}', which is not there (looked for {folder / spec.path}); allowed:"
            " a diffusers folder, a checkpoint file or its folder; a model of a hub is downloaded"
            " first",
        )
    for field in ("config", "tokenizer"):
        named = getattr(spec, field)
        if named is not None and not (folder / named).exists():
            yield field, f"found '{named}', which is not there (looked for {folder / named})"


def check_called(spec: Any, folder: Path) -> Iterator[tuple[str, str]]:
    """Yield (field, problem) for a model that is the user's own code; nothing of it is run."""
    locate: Any = resolve(FACTS["call"])
    try:
        locate(spec.target, folder.resolve())
    except InputError as error:
        yield "target", str(error)
    for file in spec.files:
        if not (folder / file).is_file():
            yield "files", f"found '{file}', which is not a file (looked for {folder / file})"
