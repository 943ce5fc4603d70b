"""Rules of the tasks that a suite trains: what data must have, which fields mean something."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from ldmbench.catalog.tasks import TASKS, Task
from ldmbench.errors import InputError
from ldmbench.schema.data import Data
from ldmbench.schema.models import OPEN_CLIP, DenoiserParams
from ldmbench.sources.models.text_encoders import text_encoder
from ldmbench.suite.absence import Absent
from ldmbench.suite.axes import many
from ldmbench.suite.models import data_facts

__all__ = ["check_tasks"]

Problem = tuple[str, str]


def check_tasks(
    written: DenoiserParams, data: Mapping[str, Data], folder: Path
) -> Iterator[Problem]:
    """Yield (field, problem) of what a denoiser is conditioned on.

    Args:
        written: the written form of a denoiser; a field may hold an axis.
        data: the datasets that it is trained on.
        folder: of the suite file.
    """
    tasks = [TASKS[task] for task in many(written.conditioning)]
    for task in tasks:
        for name, noun in data.items():
            yield from _untaught(written, task, name, noun, folder)
    yield from _text(written, folder)
    yield from _of_others(written, tasks)


def _untaught(
    written: DenoiserParams, task: Task, name: str, data: Data, folder: Path
) -> Iterator[Problem]:
    """Yield why a dataset cannot teach a task."""
    facts = data_facts(data, folder) if task.needs in ("boxes", "masks") else None
    if facts and task.needs and not getattr(facts, task.needs):
        yield (
            "conditioning",
            f"found {task.name}, which needs {task.needs}, but data.{name} has none; allowed: a"
            f" data set with {task.needs}, such as kind: shapes",
        )
    for scale in many(written.scale) if "scale" in task.fields else ():
        for side in many(data.resolution):
            if side % scale:
                yield (
                    "scale",
                    f"found {scale}, which does not divide the resolution {side} of data.{name}",
                )


def _text(written: DenoiserParams, folder: Path) -> Iterator[Problem]:
    """Yield what is not there of vocabularies and text encoders."""
    for vocabulary in many(written.vocabulary):
        if vocabulary in (None, OPEN_CLIP):
            continue
        file = folder / vocabulary
        if file.name != "vocab.txt" or not file.is_file():
            yield (
                "vocabulary",
                f"found '{vocabulary}', which is no vocab.txt on disk (looked for {file}); allowed:"
                f" {OPEN_CLIP}, or the path of a WordPiece vocab.txt",
            )
    for encoder in filter(None, many(written.text_encoder)):
        yield from _encoder(written, encoder, folder)
        if written.vocabulary is not None:
            yield (
                "vocabulary",
                "found it beside text_encoder, which has a tokenizer of its own; leave one out",
            )


def _encoder(written: DenoiserParams, name: str, folder: Path) -> Iterator[Problem]:
    """Yield what is not there of a frozen text encoder, and that it reads fewer tokens."""
    try:
        found = text_encoder(name, folder)
    except InputError as error:
        is_there = (folder / name).exists()
        yield "text_encoder", str(error) if is_there else Absent(str(error))
        return
    asked = written.caption_tokens
    if "caption_tokens" in written.model_fields_set and found.tokens(asked) < asked:
        yield (
            "caption_tokens",
            f"found {asked}, but text_encoder '{name}' reads {found.places} tokens at most;"
            f" allowed: 2 to {found.places}, or leave it out",
        )


def _of_others(written: DenoiserParams, tasks: list[Task]) -> Iterator[Problem]:
    """Yield fields that mean nothing to any of the tasks."""
    hashed = not (written.vocabulary or written.text_encoder)
    if hashed and {task.name for task in tasks} == {"caption"}:
        for field in sorted({"caption_tokens", "context_depth"} & written.model_fields_set):
            yield (
                field,
                f"found {field}, which a text encoder of hashed words has not; leave it out, or set"
                f" vocabulary: {OPEN_CLIP}",
            )
    own = {field: row.name for row in TASKS.values() for field in row.fields}
    for field in sorted(written.model_fields_set & set(own)):
        if not any(field in task.fields for task in tasks):
            yield (
                field,
                f"found {field}, which is of conditioning {own[field]} alone; leave it out, or set"
                f" conditioning: {own[field]}",
            )
