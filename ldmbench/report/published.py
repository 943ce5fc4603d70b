"""Published rows: figures that others printed, shown beside measured ones and never compared."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources

from ldmbench.report.cells import series
from ldmbench.report.quantities import (
    QUANTITIES,
    embedded_evaluators,
    number,
    quantity_of,
    with_interval,
)
from ldmbench.schema.record import Extras, Record, Score

__all__ = ["CAUTION", "Beside", "Line", "Published", "beside", "published"]

CAUTION = (
    "Rows marked “published” are printed by their authors, not measured here. They are for the "
    "eye: no interval, machine or reference image is shared with the measured rows, so no best is "
    "marked and nothing is compared."
)

_ALIASES = {
    "churches": "lsunchurches",
    "church": "lsunchurches",
    "lsunchurch": "lsunchurches",
    "bedrooms": "lsunbedrooms",
    "bedroom": "lsunbedrooms",
    "lsunbedroom": "lsunbedrooms",
    "coco": "mscoco",
    "imagenetval": "imagenet",
    "imagenet1k": "imagenet",
    "ilsvrc": "imagenet",
}
_ELSEWHERE = ("a100_throughput", "printed_days")
"""Published measures of other machines: shown, but no measured row has them."""
_LABELS = {"a100_throughput": "Images/s, A100", "printed_days": "V100 days"}


@dataclass(frozen=True)
class Published:
    """One row as its source prints it; `values` maps a quantity's name to the printed text."""

    protocol: str
    source: str
    table: str
    task: str
    dataset: str
    resolution: str
    model: str
    sampler: str
    steps: str
    guidance: str
    n: str
    values: Mapping[str, str]
    note: str


@dataclass(frozen=True)
class Line:
    """One row of a side by side table; measured rows have a cell, published ones a source."""

    measured: bool
    model: str
    how: str
    n: str
    values: tuple[str, ...]
    source: str
    note: str = ""
    cell: str = ""


@dataclass(frozen=True)
class Beside:
    """Measured and published rows of one dataset under one protocol."""

    dataset: str
    protocol: str
    headings: tuple[str, ...]
    lines: tuple[Line, ...]


@cache
def published() -> tuple[Published, ...]:
    """Return every published row that ships with ldmbench, in the order of its sources."""
    text = resources.files("ldmbench.report").joinpath("published.csv").read_text("utf-8")
    return tuple(_read(row) for row in csv.DictReader(io.StringIO(text)))


def beside(records: Sequence[Record], extras: Extras) -> tuple[Beside, ...]:
    """Return, per dataset and protocol that somebody published under, both kinds of rows.

    A dataset matches by its name (`celebahq-256` is CelebA-HQ) and by the side of its images
    where the run kept one. Scores of the embedded evaluators never match. Of each measured model
    the cells with most steps are shown.
    """
    sides = {p.dataset: p.side for p in extras.pictures if p.title.startswith("real/")}
    found: list[Beside] = []
    for dataset in dict.fromkeys(r.cell.dataset for r in records):
        mine = [r for r in records if r.cell.dataset == dataset and r.status == "done"]
        for protocol in dict.fromkeys(s.protocol for r in mine for s in _real(r)):
            printed = [
                p
                for p in published()
                if p.protocol == protocol and _same(p, dataset, sides.get(dataset))
            ]
            if printed:
                found.append(_table(dataset, protocol, mine, printed))
    return tuple(found)


def _read(row: Mapping[str, str]) -> Published:
    fixed = {field.name: row[field.name] for field in fields(Published) if field.name in row}
    values = {name: text for name, text in row.items() if text and name not in fixed}
    return Published(**fixed, values=values)


def _real(record: Record) -> list[Score]:
    """Return the scores that no embedded evaluator made."""
    return [s for s in record.scores if s.protocol and not embedded_evaluators(s.signature)]


def _same(row: Published, dataset: str, side: int | None) -> bool:
    name, size = _named(dataset)
    side = side or size
    return _named(row.dataset)[0] == name and (side is None or row.resolution in ("", str(side)))


def _named(dataset: str) -> tuple[str, int | None]:
    """Return a dataset's plain name and the size at its end, if there is one.

    >>> _named("CelebA-HQ"), _named("lsun_churches-256")
    (('celebahq', None), ('lsunchurches', 256))
    """
    found = re.fullmatch(r"(.*?)(64|128|256|512|1024)?", re.sub(r"[^a-z0-9]", "", dataset.lower()))
    name, size = (found.group(1), found.group(2)) if found else (dataset, None)
    return _ALIASES.get(name, name), int(size) if size else None


def _table(
    dataset: str, protocol: str, records: Sequence[Record], printed: Sequence[Published]
) -> Beside:
    scored = [r for r in records if any(s.protocol == protocol for s in _real(r))]
    here = {s.name for r in scored for s in _real(r) if s.protocol == protocol}
    names = [n for n in _order(printed) if n in here or n in _ELSEWHERE]
    rows = [p for p in printed if any(n in p.values and n not in _ELSEWHERE for n in names)]
    names = [n for n in names if n in here or any(n in p.values for p in rows)]
    return Beside(
        dataset,
        protocol,
        tuple(_LABELS.get(n) or quantity_of(n).axis for n in names),
        (*_measured(scored, protocol, names), *(_printed(p, names) for p in rows)),
    )


def _order(printed: Sequence[Published]) -> list[str]:
    there = {name for p in printed for name in p.values}
    return [name for name in (*QUANTITIES, *_ELSEWHERE) if name in there]


def _measured(records: Sequence[Record], protocol: str, names: Sequence[str]) -> list[Line]:
    most: dict[str, int] = {}
    for r in records:
        most[series(r.cell)] = max(r.cell.steps, most.get(series(r.cell), 0))
    lines = []
    for r in records:
        cell, scores = r.cell, {s.name: s for s in _real(r) if s.protocol == protocol}
        if cell.steps != most[series(cell)]:
            continue
        how = _how(cell.sampler, str(cell.steps), f"{cell.guidance:g}")
        values = tuple(_text(scores.get(name)) for name in names)
        n = max((s.n for s in scores.values()), default=0)
        lines.append(Line(True, series(cell), how, f"{n:,}", values, "measured here", cell=cell.id))
    return lines


def _text(score: Score | None) -> str:
    if score is None or score.value is None:
        return ""
    text, spread = with_interval(score.value, score.low, score.high)
    return f"{text} ± {spread}" if spread else number(score.value)


def _printed(row: Published, names: Sequence[str]) -> Line:
    values = tuple(row.values.get(name, "") for name in names)
    n = f"{int(row.n):,}" if row.n.isdecimal() else row.n
    source = f"{row.source}, {row.table}"
    how = ", ".join(part for part in (row.task, _how(row.sampler, row.steps, row.guidance)) if part)
    return Line(False, row.model, how, n, values, source, note=row.note)


def _how(sampler: str, steps: str, guidance: str) -> str:
    parts = [sampler, f"{steps} steps" if steps.isdecimal() else steps]
    parts += [f"guidance {guidance}"] if guidance and guidance != "1" else []
    return ", ".join(part for part in parts if part)
