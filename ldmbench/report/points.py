"""Points of figures: plain rows taken from records, one list per figure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ldmbench.report.cells import series, variant, varying
from ldmbench.report.quantities import Quantity, quantity_of
from ldmbench.report.tables import Protocols, score_key, variants
from ldmbench.schema.record import Extras, Measure, Record, Score

__all__ = [
    "Point",
    "coding_points",
    "curve_points",
    "first_stages",
    "front",
    "headline",
    "points_of",
    "value_of",
]

Point = dict[str, Any]
"""One row of a figure's data; `cell`, `series`, `dataset`, `steps` are what the page filters on."""

HEADLINES = ("fid", "kid", "clip_score", "precision", "inception_score", "recall")
LONGEST_CURVE = 300
OF_SAMPLING = ("sampler", "eta", "guidance", "timesteps", "quantize", "precision")
"""Fields of a cell on which what a denoiser codes does not depend."""


def headline(records: Sequence[Record]) -> Quantity | None:
    """Return the score by which figures judge quality: FID, or the next that was measured."""
    found = {s.name for r in records for s in r.scores if s.value is not None}
    return next((quantity_of(name) for name in HEADLINES if name in found), None)


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
    names = variants(records)
    scores = (s for r in records for s in r.scores if s.name == quality and s.value is not None)
    column = next((score_key(s, names) for s in scores), None)
    found = [(record, _in_column(record, column, names)) for record in records]
    scored = [(record, score) for record, score in found if score is not None]
    signatures = list(dict.fromkeys(score.signature for _, score in scored))
    return [
        {**_point(record, score, vary), "made": signatures.index(score.signature)}
        for record, score in scored
    ]


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
        "guidance": cell.guidance,
        "progress": cell.progress,
        "f": cell.f,
        "line": variant(cell, vary),
        "track": variant(cell, vary, but=("progress",)),
        "sweep": f"{variant(cell, vary, but=('guidance',))}, {cell.steps} steps",
        "quality": score.value,
        "low": score.low if score.low is not None else score.value,
        "high": score.high if score.high is not None else score.value,
    }


def first_stages(records: Sequence[Record]) -> list[Point]:
    """Return one point per first stage: rate against distortion; the identity has none."""
    found: dict[tuple[str, str], Point] = {}
    for record in records:
        cell = record.cell
        rate = value_of(record, "rate")
        if rate is None or cell.f == 1:
            continue
        point: Point = {
            "cell": cell.id,
            "series": series(cell),
            "dataset": cell.dataset,
            "steps": None,
            "f": f"f={cell.f}",
            "kind": (cell.regularization or "first stage").upper(),
            "rate": rate.value,
        }
        for name in ("psnr", "rfid", "ssim", "lpips"):
            value = value_of(record, name)
            point[name] = value.value if value else None
        found.setdefault((series(cell), cell.dataset), point)
    return list(found.values())


def coding_points(records: Sequence[Record], extras: Extras) -> list[Point]:
    """Return progressive coding, one curve per denoiser (arXiv:2006.11239, section 4.3)."""
    seen: set[tuple[str, str, float, int]] = set()
    points: list[Point] = []
    vary = [n for n in varying(records, always=()) if n not in OF_SAMPLING]
    for record in records:
        cell, curve = record.cell, extras.coding.get(record.cell.id)
        denoiser = (series(cell), cell.dataset, cell.progress, cell.train_seed)
        if not curve or denoiser in seen:
            continue
        seen.add(denoiser)
        named = {"cell": cell.id, "series": series(cell), "dataset": cell.dataset, "steps": None}
        line = variant(cell, vary)
        points += [{**named, "line": line, **point.model_dump()} for point in curve]
    return points


def curve_points(extras: Extras, stage: str, names: Sequence[str]) -> list[Point]:
    """Return the training curves of one stage, thinned to a few hundred points each."""
    points: list[Point] = []
    for label, curve in extras.curves.items():
        model, _, kind = label.rpartition(" ")
        if kind != stage:
            continue
        owner = _owner(model, names)
        dataset = model[len(owner) + 1 :] or None if owner else None
        kept = [p for p in curve if p.loss is not None]
        every = max(1, -(-len(kept) // LONGEST_CURVE))
        points += [
            {
                "series": owner or model,
                "line": model,
                "dataset": dataset,
                "steps": None,
                "step": point.step,
                "images": point.images,
                "loss": point.loss,
                "mark": place % max(1, len(kept[::every]) // 6) == 0,
            }
            for place, point in enumerate(kept[::every])
        ]
    return points


def _owner(label: str, names: Sequence[str]) -> str | None:
    """Return the series whose name begins a curve's label 'model/dataset'."""
    fits = [n for n in names if label == n or label.startswith(f"{n}/")]
    return max(fits, key=len, default=None)


def front(points: Sequence[Point], cost: str, quality: Quantity, *, more: bool) -> list[Point]:
    """Mark each dataset's Pareto front: no other point is at least as good and as cheap.

    Points whose scores were made in unlike ways have a front of their own.

    Args:
        points: points with `quality` and `cost` fields.
        cost: the field against which quality is traded.
        quality: says which way is better.
        more: whether a larger `cost` field is the better one (throughput).
    """
    sign = 1.0 if quality.better == "lower" else -1.0
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
