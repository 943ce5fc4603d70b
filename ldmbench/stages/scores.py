"""scores: features (or image pairs) -> one metric family with intervals and replicates."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from ldmbench.canonical import stamp_of
from ldmbench.catalog.metrics import FAMILIES, SCENES, Family
from ldmbench.errors import InputError
from ldmbench.metrics.computed import as_scores
from ldmbench.metrics.engine import Engine, engine_of
from ldmbench.metrics.layouts import Scene
from ldmbench.metrics.moments import Moments
from ldmbench.metrics.resample import Replicates
from ldmbench.registry import resolve
from ldmbench.schema.params import Scores, ScoresParams
from ldmbench.schema.task import Task, TaskInput
from ldmbench.stages.common import Report, resident, rows_of
from ldmbench.stages.own import own_scores
from ldmbench.stages.spaces import spaces_of

Tell = Callable[[float], None]

KEPT_REFERENCES = 2
"""References of which a worker keeps moments, radii and kernel sums: many cells share one."""
PAIRS_AT_ONCE = 64  # of images, in memory at a time; whole micro-batches of LPIPS


def run(task: Task[Scores], report: Report) -> None:
    """Compute every score of one family; which of them are shown is the suite's affair."""
    params = task.params

    def tell(done: float) -> None:
        report(done, "")

    if isinstance(params, ScoresParams):
        made = _computed(task, params, tell=tell)
    else:
        made = own_scores(task, tell=tell)
    replicates: dict[str, Any] = {name: found.replicates for name, found in made.items()}
    (task.output / "scores.json").write_text(
        json.dumps({name: _entry(found) for name, found in made.items()}, indent=1),
        encoding="utf-8",
    )
    np.savez(task.output / "replicates.npz", **replicates)
    report(1.0, "")


def _entry(found: Replicates) -> dict[str, object]:
    """Return a score as strict JSON: what is not finite is null, with the reason."""
    finite = np.isfinite(found.value)
    return {
        "value": float(found.value) if finite else None,
        "low": _finite(found.low),
        "high": _finite(found.high),
        "confidence": found.confidence,
        "n": int(found.n),
        "method": found.method,
        "reason": None if finite else f"the value is {found.value}",
    }


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and np.isfinite(value) else None


def _rows(task: Task, role: str, name: str) -> np.ndarray:
    return rows_of(task.inputs[role], name).all()


def _engine(task: Task) -> Engine:
    """Return where products are formed; only CUDA has the float64 they need."""
    return engine_of(device=task.device if task.device.startswith("cuda") else "cpu")


def _computed(task: Task, params: ScoresParams, *, tell: Tell) -> Mapping[str, Replicates]:
    """Return the scores of a family of the catalog: its function, on what its row says."""
    family = FAMILIES[params.family]
    compute: Any = resolve(family.compute)
    offered = {
        "confidence": params.confidence,
        "paired": params.paired,
        "device": task.device,
        "folder": task.local.detector or task.local.segmenter,
        "weights": params.weights,
        "engine": _engine(task),
        "report": tell,
    }
    if family.has_reference and _statistics(task, family) is None:
        offered["kept"] = _reference_cache(task.inputs["reference"], family.needs)
    taken = {n: v for n, v in offered.items() if n in signature(compute).parameters}
    made = compute(*_sides(task, family, tell), **params.options, **taken)
    count = task.inputs["generated"].stop
    return as_scores(made, family.name, count=count, confidence=params.confidence)


def _sides(task: Task, family: Family, tell: Tell) -> Iterator[Any]:
    """Yield the arguments of a family's function, in its order."""
    if family.needs == "images":
        yield _scenes(task, tell) if family.against == "scene" else _pairs(task, tell)
        return
    name = "features.npy" if family.needs == "text" else f"{family.needs}.npy"
    if family.against == "validation":
        yield spaces_of(task, name)
        return
    yield _rows(task, "generated", name)
    if family.against == "training":
        yield _rows(task, "train", name)
    if family.against == "class":
        yield _rows(task, "asked", "labels.npy")
    if family.against == "pair":
        yield _rows(task, "reference", name)
    if family.has_reference:
        known = _statistics(task, family)
        yield known if known is not None else _rows(task, "reference", name)
    if family.against == "caption":
        yield _rows(task, "generated", "text.npy")


def _statistics(task: Task, family: Family) -> Moments | None:
    """Return the mean and covariance of a reference that is made of these alone."""
    folder = task.inputs["reference"].folders[0]
    if family.statistics is None or not (folder / f"{family.statistics[0]}.npy").exists():
        return None
    mu, sigma = (np.load(folder / f"{n}.npy", allow_pickle=False) for n in family.statistics)
    return Moments(2, mu, sigma)


def _pairs(task: Task, tell: Tell) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield batches of pairs of images, few of which are in memory at once."""
    first, second = (
        rows_of(task.inputs[role], "images.npy") for role in ("generated", "reference")
    )
    count = max(len(first), len(second))
    for start in range(0, count, PAIRS_AT_ONCE):
        rows = np.arange(start, min(start + PAIRS_AT_ONCE, count))
        yield first.read(rows), second.read(rows)
        tell(min(1.0, (start + PAIRS_AT_ONCE) / count))


def _scenes(task: Task, tell: Tell) -> Iterator[tuple[np.ndarray, Scene]]:
    """Yield batches of samples with the scenes that were asked for.

    Raises:
        InputError: the data know no boxes or no masks.
    """
    images, asked = rows_of(task.inputs["generated"], "images.npy"), task.inputs["reference"]
    parts = ("boxes", "box_labels") if task.local.detector else ("boxes", "box_labels", "masks")
    lost = [name for name in parts if not (asked.folders[0] / f"{name}.npy").exists()]
    if lost:
        raise InputError(f"the data have no {lost[0]}, which the metrics of {SCENES.name} read")
    found = [rows_of(asked, f"{name}.npy") for name in parts]
    for start in range(0, len(images), PAIRS_AT_ONCE):
        rows = np.arange(start, min(start + PAIRS_AT_ONCE, len(images)))
        yield images.read(rows), Scene(*(part.read(rows) for part in found))
        tell(min(1.0, (start + PAIRS_AT_ONCE) / len(images)))


def _reference_cache(reference: TaskInput, rows: str) -> dict[object, object]:
    """Return what this process found of a reference before: moments, radii, kernel sums.

    Args:
        reference: its features.
        rows: which of their arrays: features or spatial.
    """
    made = tuple((f, stamp_of((f / f"{rows}.npy").stat())) for f in reference.folders)
    return _kept(made, reference.start, reference.stop, rows)


@resident(KEPT_REFERENCES)
def _kept(
    made: tuple[tuple[Path, object], ...], start: int, stop: int, rows: str
) -> dict[object, Any]:
    """Return the one dictionary of a reference, empty at first."""
    return {}
