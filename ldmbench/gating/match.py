"""Matching: which accepted numbers a new one may be held against, and which field forbids it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ldmbench.catalog.metrics import METRICS
from ldmbench.gating.baseline import rounded
from ldmbench.records.compare import Replicas
from ldmbench.schema.baseline import AcceptedCell, AcceptedScore, Baseline
from ldmbench.schema.record import Measure, Record, Score
from ldmbench.schema.signature import Signature

__all__ = [
    "OtherMachine",
    "Pair",
    "cells_of",
    "describe_other_machines",
    "devices_of",
    "group_of",
    "like_measures",
    "like_scores",
    "measure_of",
    "same_images",
    "score_of",
]

SHARES = frozenset(name for name, row in METRICS.items() if row.share)
"""Scores that unlike images may have in common by chance."""


@dataclass(frozen=True)
class Pair:
    """An accepted cell beside the number in it."""

    cell: AcceptedCell
    score: AcceptedScore | None = None
    measure: Measure | None = None


def cells_of(baseline: Baseline, cell: str) -> list[AcceptedCell]:
    """Return what was accepted for a cell, oldest run first."""
    return [item for run in baseline.runs for item in run.cells if item.id == cell]


def group_of(cell: AcceptedCell) -> str:
    """Return what the cells of one training have in common."""
    return f"{cell.model}/{cell.dataset}"


def measure_of(cell: AcceptedCell | Record, name: str) -> Measure | None:
    """Return a measure that has a value, by name."""
    return next((m for m in cell.measures if m.name == name and m.value is not None), None)


def devices_of(cells: Sequence[AcceptedCell], name: str) -> tuple[str, ...]:
    """Return the machine classes on which a measure was accepted."""
    found = [m.device for cell in cells if (m := measure_of(cell, name))]
    return tuple(dict.fromkeys(found))


def score_of(cell: AcceptedCell, name: str, protocol: str) -> AcceptedScore | None:
    """Return a score that has a value, by name and protocol."""
    for item in cell.scores:
        if (item.score.name, item.score.protocol) == (name, protocol):
            return item if item.score.value is not None else None
    return None


def like_scores(new: Score, cells: Sequence[AcceptedCell]) -> tuple[list[Pair], str]:
    """Return the accepted scores with the same signature, or the fields in which the last differs.

    Args:
        new: the score that is judged.
        cells: what was accepted for its cell.
    """
    pairs = [Pair(cell, score_of(cell, new.name, new.protocol)) for cell in cells]
    there = [pair for pair in pairs if pair.score is not None]
    alike = [p for p in there if p.score and p.score.score.signature == new.signature]
    if alike or not there:
        return alike, ""
    last = there[-1].score
    assert last is not None
    fields = Signature.parse(last.score.signature).differences(Signature.parse(new.signature))
    differing = [f"{name} was {a} and is {b}" for name, (a, b) in fields.items()]
    return [], "signature: " + ", ".join(differing)


def like_measures(
    new: Measure, cells: Sequence[AcceptedCell], *, on_device: bool
) -> tuple[list[Pair], str]:
    """Return the accepted measures of the same unit, batch and device, or the fields that differ.

    Args:
        new: the measure that is judged.
        cells: what was accepted for its cell.
        on_device: the number depends on the device (times do, counts do not).
    """
    fields = ("unit", "batch", *(("device", "yardstick") if on_device else ()))
    there = [Pair(cell, measure=m) for cell in cells if (m := measure_of(cell, new.name))]
    alike = [p for p in there if all(getattr(p.measure, f) == getattr(new, f) for f in fields)]
    if alike or not there:
        return alike, ""
    last = there[-1].measure
    differing = [
        f"{field} was {getattr(last, field) or 'none'!s} and is {getattr(new, field) or 'none'!s}"
        for field in fields
        if getattr(last, field) != getattr(new, field)
    ]
    return [], ", ".join(differing)


def same_images(record: Record, cell: AcceptedCell, replicates: Replicas) -> bool:
    """Tell whether both were scored on the very same images: all scores and replicates agree.

    Shares alone prove nothing; unlike images can have a precision of 1 in common.
    """
    proof = False
    for score in record.scores:
        old = score_of(cell, score.name, score.protocol)
        if old is None or score.value is None or old.score.signature != score.signature:
            continue
        if old.score.value != score.value:
            return False
        now = replicates(score)
        if now is not None and old.replicates:
            if rounded(now.tolist()) != old.replicates:
                return False
            proof = proof or (score.name not in SHARES and float(np.ptp(now)) > 0)
    return proof


@dataclass(frozen=True)
class OtherMachine:
    """A measure that was accepted on other machine classes alone."""

    name: str
    here: str
    there: tuple[str, ...]


def describe_other_machines(foreign: Sequence[OtherMachine]) -> Iterator[str]:
    """Say once per machine class what was not judged."""
    by_class: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for part in foreign:
        by_class.setdefault((part.here, part.there), []).append(part.name)
    for (here, there), names in by_class.items():
        yield (
            f"{', '.join(dict.fromkeys(names))} of {len(names)} measures in all were accepted on"
            f" {' and '.join(there)} and are measured on {here}: noted, not judged"
        )
