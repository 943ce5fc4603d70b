"""Rows: a record as the parameters, metrics and tags that MLflow holds."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ldmbench.canonical import digest
from ldmbench.schema.record import CurvePoint, Extras, Measure, Record, Run, Score
from ldmbench.schema.stage import Stage

__all__ = [
    "CURVES",
    "Training",
    "Value",
    "curve_values",
    "key",
    "milliseconds",
    "model_of",
    "params_of",
    "run_params",
    "stage_params",
    "table_rows",
    "tags_of",
    "trainings_of",
    "values_of",
]

CURVES = ("loss", "rate", "gradient_norm")
"""Metrics of every training, so that MLflow draws each of them on one chart."""
LONGEST_KEY, LONGEST_PARAM, LONGEST_TAG = 250, 6000, 5000

TRAINED = ("autoencoder", "denoiser")
"""Kinds of stages that train."""

Value = tuple[str, float, int, int]
"""Metric key, value, timestamp in ms, step."""


@dataclass(frozen=True)
class Training:
    """One training of a run.

    Attributes:
        name: '<model>/<dataset> denoiser' (or autoencoder), of the first model that has it.
        kind: of its stage.
        key: of its stage.
        cell: id of the first cell that was made by it.
        points: its curve.
    """

    name: str
    kind: str
    key: str
    cell: str
    points: Sequence[CurvePoint]


def key(text: str) -> str:
    """Return the text with only what MLflow allows in a key; a digest ends a text cut short."""
    clean = re.sub(r"[^\w.\- /]+", "_", text, flags=re.ASCII)
    parts = [part.strip("_. ") for part in clean.split("/")]  # a key is a path: no '..' in it
    name = "/".join(part for part in parts if part) or "_"
    return name if len(name) <= LONGEST_KEY else f"{name[:240]}-{digest(text)[:8]}"


def milliseconds(moment: str | None, *, fallback: int = 0) -> int:
    """Return an ISO 8601 moment in milliseconds since 1970; UTC when it names no zone."""
    if moment is None:
        return fallback
    parsed = datetime.fromisoformat(moment)
    return round((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * 1000)


def run_params(run: Run) -> dict[str, str]:
    """Return the parameters of the parent run."""
    return {"suite": run.suite, "suite_digest": run.suite_digest, "question": run.question[:500]}


def params_of(record: Record, stages: Mapping[str, Stage]) -> dict[str, str]:
    """Return a cell's fields, its axes (axes.f), and what its models are (denoiser.channels)."""
    cell = record.cell
    fields: dict[str, object] = cell.model_dump(exclude={"id", "axes", "stages"}, exclude_none=True)
    fields |= {f"axes.{name}": value for name, value in cell.axes.items()}
    found = {key(name): str(value)[:LONGEST_PARAM] for name, value in fields.items()}
    for kind in TRAINED:
        made = stages.get(cell.stages.get(kind, ""))
        found |= stage_params(kind, made) if made else {}
    return found


def stage_params(kind: str, stage: Stage) -> dict[str, str]:
    """Return what a stage was made with: denoiser.learning_rate, denoiser.budget.steps."""
    found: dict[str, str] = {}
    left: list[tuple[str, object]] = [(kind, stage.params.keyed())]
    while left:
        name, value = left.pop(0)
        if isinstance(value, Mapping):
            left += [(f"{name}.{inner}", below) for inner, below in value.items()]
        elif value is not None:
            found[key(name)] = str(value)[:LONGEST_PARAM]
    return found


def model_of(record: Record, places: Mapping[str, str]) -> dict[str, str] | None:
    """Return what names a model from elsewhere; None for one that was trained in this run.

    Args:
        record: of a cell of that model.
        places: name of a model in the suite -> path, hub id or target.
    """
    cell = record.cell
    if cell.digest is None:
        return None
    found: dict[str, object] = {"model": cell.model, "digest": cell.digest, "weights": cell.weights}
    found |= {"weights_from": cell.weights_from, "f": cell.f, "regularization": cell.regularization}
    found |= {"source": places.get(cell.model.partition("[")[0])}
    return {name: str(value)[:LONGEST_PARAM] for name, value in found.items() if value is not None}


def values_of(record: Record, *, time: int) -> list[Value]:
    """Return every score and measure with its interval as metrics; nulls are tags, not metrics."""
    found: dict[str, float | None] = {}
    for name, score in _named(record.scores):
        found |= {name: score.value, f"{name}.low": score.low, f"{name}.high": score.high}
    for measure in record.measures:
        name = key(measure.name)
        found |= {name: measure.value, f"{name}.low": measure.low, f"{name}.high": measure.high}
    kept = [(n, v) for n, v in found.items() if v is not None and math.isfinite(v)]
    return [(name, float(value), time, 0) for name, value in kept]


def trainings_of(records: Sequence[Record], extras: Extras) -> list[Training]:
    """Return every training that has a curve, once, whichever models share it."""
    found: dict[str, Training] = {}
    for record in records:
        cell = record.cell
        for kind in TRAINED:
            name = f"{cell.model}/{cell.dataset} {kind}"
            stage = cell.stages.get(kind, name)
            if extras.curves.get(name):
                made = Training(name, kind, stage, cell.id, extras.curves[name])
                found.setdefault(stage, made)
    return [*found.values()]


def curve_values(training: Training, *, start: int) -> list[Value]:
    """Return a training's curve as metrics with steps; time is the start plus the seconds."""
    return [
        (name, value, start + round(point.seconds * 1000), point.step)
        for name in CURVES
        for point in training.points
        for value in (getattr(point, name),)
        if value is not None and math.isfinite(value)
    ]


def tags_of(record: Record) -> dict[str, str]:
    """Return status, reasons, signatures, stage keys, machine and versions as tags."""
    tags: dict[str, str] = {"ldmbench.status": record.status}
    if record.reason:
        tags["ldmbench.reason"] = record.reason
    if record.stale:
        tags["ldmbench.stale"] = ", ".join(record.stale)
    for name, score in _named(record.scores):
        tags[f"signature.{name}"] = score.signature
    every: tuple[Score | Measure, ...] = (*record.scores, *record.measures)
    for made in every:
        if made.value is None:
            tags[f"null.{made.name}"] = made.reason or "no reason was recorded"
    tags |= {f"key.{role}": value for role, value in (record.keys or record.cell.stages).items()}
    tags |= {f"machine.{name}": str(value) for name, value in record.machine.items()}
    tags |= {f"version.{name}": value for name, value in record.versions.items()}
    return {key(name): text[:LONGEST_TAG] for name, text in tags.items()}


def table_rows(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return the comparative table: one row per cell, identity first, then every number."""
    rows = []
    for record in records:
        cell = record.cell
        row: dict[str, object] = {"cell": cell.id, "status": record.status}
        row |= cell.model_dump(exclude={"id", "axes", "stages"})
        row |= {name: value for name, value, _, _ in values_of(record, time=0)}
        rows.append(row)
    columns = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in columns} for row in rows]


def _named(scores: Sequence[Score]) -> list[tuple[str, Score]]:
    """Name scores; what extracted their features distinguishes those of several protocols."""
    times = Counter(score.name for score in scores)
    seen: Counter[str] = Counter()
    named = []
    for score in scores:
        name = score.name
        if times[name] > 1 and score.protocol:
            name = f"{name}.{score.protocol}"
        elif times[name] > 1:
            found = re.search(r"\|(?:feat|clip):([^@|]+)", score.signature)
            name = f"{name}.{found.group(1) if found else 'other'}"
        seen[name] += 1
        named.append((key(name if seen[name] == 1 else f"{name}.{seen[name]}"), score))
    return named
