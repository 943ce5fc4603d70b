"""Points of figures: plain rows taken from records, one list per figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from ldmbench.catalog.metrics import BY_RANK, RECONSTRUCTED
from ldmbench.report.cells import identity_of, series, varying
from ldmbench.report.quantities import QUANTITIES, Quantity, quantity_of
from ldmbench.report.tables import Protocols, score_key, variants
from ldmbench.schema.record import CurvePoint, Extras, Measure, Record, Score

__all__ = [
    "Point",
    "coding_points",
    "curve_points",
    "first_stages",
    "front",
    "headline",
    "judged",
    "points_of",
    "shared",
    "value_of",
]

Point = dict[str, Any]
"""One row of a figure's data; `cell`, `series`, `dataset`, `steps` are what the page filters on."""

LONGEST_CURVE = 300
OF_TRAINING = ("progress", "train_seed")
"""Fields of a cell on which what a denoiser codes depends."""


def headline(records: Sequence[Record]) -> Quantity | None:
    """Return the score by which figures judge quality: FID, or the next that was measured.

    Scores of users' own come last; those of first stages alone are none of samples.
    """
    found = {s.name: s for r in records for s in r.scores if s.value is not None}
    own = sorted(name for name in found if name not in QUANTITIES)
    return next((quantity_of(n) for n in (*BY_RANK, *own) if n in found), None)


def judged(records: Sequence[Record]) -> Quantity | None:
    """Return the score that findings rank by: the headline.

    Where all cells are first stages alone, it is rFID, or the next score of reconstructions.
    """
    if any(record.cell.is_sampled for record in records):
        return headline(records)
    found = {s.name for r in records for s in r.scores if s.value is not None}
    ranked = (quantity_of(name) for name in RECONSTRUCTED if name in found)
    return next((quantity for quantity in ranked if quantity.best is not None), None)


def value_of(record: Record, name: str) -> Score | Measure | None:
    """Return a record's score or measure if it has a value."""
    every: Iterable[Score | Measure] = (*record.scores, *record.measures)
    return next((x for x in every if x.name == name and x.value is not None), None)


def points_of(records: Sequence[Record], quality: str) -> list[Point]:
    """Return one point per cell that has a quality score, with every measure beside it.

    Where a suite has several protocols, the first one's score is taken for all cells. Points
    whose scores have one signature have the same `made`; others are never ranked together.
    """
    vary = varying(records, always=())
    scored = scores_of(records, quality)
    signatures = list(dict.fromkeys(score.signature for _, score in scored))
    return [
        {**_point(record, score, vary), "made": signatures.index(score.signature)}
        for record, score in scored
    ]


def scores_of(records: Sequence[Record], name: str) -> list[tuple[Record, Score]]:
    """Return the records with their score of one column of the table, where it has a value."""
    names = variants(records)
    scores = (s for r in records for s in r.scores if s.name == name and s.value is not None)
    column = next((score_key(s, names) for s in scores), None)
    found = [(record, _in_column(record, column, names)) for record in records]
    return [(record, score) for record, score in found if score is not None]


def _in_column(record: Record, column: str | None, names: Protocols) -> Score | None:
    """Return the record's score in a column of the table, if it has a value."""
    scores = (s for s in record.scores if s.value is not None)
    return next((s for s in scores if score_key(s, names) == column), None)


def _point(record: Record, score: Score, vary: Sequence[str]) -> Point:
    cell = record.cell
    measures = {m.name: m.value for m in record.measures if m.value is not None}
    others = {s.name: s.value for s in reversed(record.scores) if s.value is not None}
    return {
        **others,
        **measures,
        "cell": cell.id,
        "series": series(cell),
        "dataset": cell.dataset,
        "steps": cell.steps,
        "step_unit": cell.step_unit,
        "guidance": cell.guidance,
        "progress": cell.progress,
        "f": cell.f,
        "identity": identity_of(cell, vary),
        "signature": score.signature,
        "quality": score.value,
        "low": score.low if score.low is not None else score.value,
        "high": score.high if score.high is not None else score.value,
    }


def first_stages(records: Sequence[Record], name: str) -> list[Point]:
    """Return one point per first stage, however many models share it: rate against a score.

    The identity, which loses nothing, has none. A line joins the first stages of one model of the
    suite, or all where each model has one. Modes and draws of one stage have one label.
    """
    found: dict[tuple[str, str, str | None], Point] = {}
    signatures: dict[str, int] = {}
    for record, score in scores_of(records, name):
        cell, rate = record.cell, value_of(record, "rate")
        if rate is None or cell.f == 1:
            continue
        own = cell.stages.get("autoencoder", series(cell)), cell.dataset, cell.latents
        point = found.setdefault(own, {"cell": cell.id, "dataset": cell.dataset, "steps": None})
        point.setdefault("models", []).append(series(cell))
        point |= {
            "f": series(cell) if cell.f is None else f"f={cell.f}",
            "kind": (cell.regularization or "first stage").upper(),
            "rate": rate.value,
            "made": signatures.setdefault(score.signature, len(signatures)),
            "line": series(cell).partition("[")[0],
            name: score.value,
        }
    every = found.values()
    lone = max(Counter((p["dataset"], p["line"], p["made"]) for p in every).values(), default=0) < 2
    named: set[tuple[str, str]] = set()
    for (stage, dataset, _), point in found.items():
        point["label"] = "" if (stage, dataset) in named else point["f"]
        point["line"] = "" if lone else point["line"]
        named.add((stage, dataset))
    return [{**point, **shared(point["models"])} for point in every]


def shared(owners: Sequence[str]) -> Point:
    """Return whose a thing is; one of several models belongs to no filter on models."""
    names = list(dict.fromkeys(owners))
    owner = " and ".join(names) if len(names) < 3 else f"{names[0]} and {len(names) - 1} more"
    return {"owner": owner, "series": owner if len(names) == 1 else None}


def coding_points(records: Sequence[Record], extras: Extras) -> list[Point]:
    """Return progressive coding, one curve per denoiser (arXiv:2006.11239, section 4.3)."""
    seen: set[tuple[str, str, float, int]] = set()
    points: list[Point] = []
    vary = [n for n in varying(records, always=()) if n in OF_TRAINING]
    for record in records:
        cell, curve = record.cell, extras.coding.get(record.cell.id)
        denoiser = (series(cell), cell.dataset, cell.progress, cell.train_seed)
        if not curve or denoiser in seen:
            continue
        seen.add(denoiser)
        named = {
            "cell": cell.id,
            "series": series(cell),
            "dataset": cell.dataset,
            "steps": None,
            "identity": identity_of(cell, vary),
        }
        every = max(1, len(curve) // 6)
        points += [
            {**named, **point.model_dump(), "mark": place % every == 0}
            for place, point in enumerate(curve)
        ]
    return points


def curve_points(records: Sequence[Record], extras: Extras, stage: str) -> list[Point]:
    """Return the training curves of one stage, thinned to a few hundred points each.

    Models that share a training share its curve, which is drawn once.
    """
    labelled = {f"{r.cell.model}/{r.cell.dataset} {stage}": r.cell for r in records}
    vary = ["train_seed"] if stage == "denoiser" and "train_seed" in varying(records) else []
    trained: dict[object, list[str]] = {}
    for label, curve in extras.curves.items():
        if label.endswith(f" {stage}"):
            cell = labelled.get(label)
            seed = cell.train_seed if cell and vary else None
            trained.setdefault((cell.dataset if cell else None, seed, curve), []).append(label)
    points: list[Point] = []
    for labels in trained.values():
        cells = [labelled[label] for label in labels if label in labelled]
        owners = [series(cell) for cell in cells] or [labels[0].rpartition(" ")[0]]
        named = {
            **shared(owners),
            "dataset": cells[0].dataset if cells else None,
            "steps": None,
            "identity": identity_of(cells[0], vary) if cells else {},
        }
        points += [{**named, **part} for part in _thinned(extras.curves[labels[0]])]
    return points


def _thinned(curve: Sequence[CurvePoint]) -> list[Point]:
    """Return a few hundred points of a curve, six of them marked."""
    kept = [(p, _pace(p, before)) for p, before in zip(curve, (None, *curve)) if p.loss is not None]
    kept = kept[:: max(1, -(-len(kept) // LONGEST_CURVE))]
    every = max(1, len(kept) // 6)
    shown = {"step", "images", "loss", "rate", "gradient_norm"}
    return [
        {**p.model_dump(include=shown), "images_per_second": pace, "mark": place % every == 0}
        for place, (p, pace) in enumerate(kept)
    ]


def _pace(point: CurvePoint, before: CurvePoint | None) -> float | None:
    """Return images per second since the point before, or since the start."""
    images, seconds = (before.images, before.seconds) if before else (0, 0.0)
    taken = point.seconds - seconds
    return (point.images - images) / taken if taken > 0 else None


def front(points: Sequence[Point], cost: str, quality: Quantity, *, more: bool) -> list[Point]:
    """Mark each dataset's Pareto front: no other point is at least as good and as cheap.

    Points whose scores were made in unlike ways have a front of their own.

    Args:
        points: points with `quality` and `cost` fields.
        cost: the field against which quality is traded.
        quality: says which way is better.
        more: whether a larger `cost` field is the better one (throughput).
    """
    sign = 1.0 if quality.best == "lower" else -1.0
    marked: list[Point] = []
    for rivals in dict.fromkeys((p["dataset"], p["made"]) for p in points):
        best = float("inf")
        mine = [p for p in points if (p["dataset"], p["made"]) == rivals]
        mine = [p for p in mine if p.get(cost) is not None]
        mine.sort(key=lambda p: (-p[cost] if more else p[cost], sign * p["quality"]))
        for point in mine:
            on = sign * point["quality"] < best
            best = min(best, sign * point["quality"])
            marked.append({**point, "front": "on the front" if on else "beaten"})
    return marked
