"""The comparative table: one row per cell, one column per quantity, the best marked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ldmbench.catalog.rows import Group
from ldmbench.records.best import rivals_of
from ldmbench.records.compare import Replicas
from ldmbench.records.difference import Difference
from ldmbench.report.cells import by_task, heading_of, identity, one_step_unit, varying
from ldmbench.report.quantities import (
    GROUPS,
    QUANTITIES,
    Quantity,
    Scale,
    number,
    quantity_of,
    scale_of,
    with_interval,
)
from ldmbench.schema.record import Measure, Record, Score
from ldmbench.schema.signature import Signature

__all__ = [
    "Column",
    "Entry",
    "Protocols",
    "Row",
    "Table",
    "build",
    "group_table",
    "recipe",
    "score_key",
    "unmade",
    "variants",
    "without",
]

OF_THE_CELL = (
    *("ref", "n", "m", "t", "train", "text", "prompts", "pairs", "crop", "resize", "subsets"),
    *("model", "quant", "posterior", "steps", "classes"),
)
"""Signature fields that follow a cell's dataset, count or model, not the way a number is made."""

OF_THE_MODEL = ("training", "first stage")
"""Groups whose numbers do not depend on how a model is sampled."""


def without(score: Score) -> None:
    """Return no replicates: where there is no store."""


def unmade(score: Score) -> bool:
    """Tell whether a score has no value because nothing was there to score: a bare signature."""
    return score.value is None and score.signature == score.name


Protocols = dict[tuple[str, str, str], str]
"""(score name, its protocol, recipe of its signature) -> what its column adds to the name."""


@dataclass(frozen=True)
class Column:
    """One quantity; `protocol` tells it from another of its name, or that some are converted."""

    key: str
    quantity: Quantity
    unit: str
    scale: Scale
    protocol: str = ""

    @property
    def heading(self) -> str:
        """Label, protocol and shown unit."""
        label = f"{self.quantity.label} ({self.protocol})" if self.protocol else self.quantity.label
        return f"{label} [{self.scale.unit}]" if self.scale.unit else label

    @property
    def arrow(self) -> str:
        """Which way is better: '↓', '↑' or ''."""
        return {"lower": "↓", "higher": "↑", None: ""}[self.quantity.best]


@dataclass(frozen=True)
class Entry:
    """One number of the table in stored units, and its text in the column's unit.

    Attributes:
        among: what entries have in common that are ranked together.
        tied: it is not distinguished from the best of them.
        gap: how it differs from the best one, in words.
        score: what it was made from; None for measures.
    """

    value: float | None
    low: float | None
    high: float | None
    text: str
    spread: str
    reason: str | None
    among: tuple[str, ...]
    best: bool = False
    tied: bool = False
    gap: str = ""
    score: Score | None = None


@dataclass(frozen=True)
class Row:
    """One cell: its leading texts and its numbers by column key."""

    record: Record
    leading: tuple[str, ...]
    entries: dict[str, Entry]


@dataclass(frozen=True)
class Table:
    """Rows in the order of the records; `vary` names the identity fields of the leading texts."""

    vary: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    replicates: Replicas = without

    @property
    def headings(self) -> tuple[str, ...]:
        """Headings of the leading texts."""
        records = [row.record for row in self.rows]
        return ("Model", *(heading_of(name, records) for name in self.vary))

    @property
    def is_plain(self) -> bool:
        """Tell whether the heading of the steps says what all rows count."""
        return one_step_unit(row.record for row in self.rows)

    def group(self, name: str) -> tuple[Column, ...]:
        """Return the columns of one group."""
        return tuple(c for c in self.columns if c.quantity.group == name)

    @property
    def groups(self) -> tuple[Group, ...]:
        """Groups that have a column, in the order of `GROUPS`."""
        return tuple(g for g in GROUPS if self.group(g))


def build(records: Sequence[Record], replicates: Replicas = without) -> Table:
    """Return the table of all cells, failed ones included.

    The best of a column is sought among like numbers only, of one task and one dataset: scores
    with one signature, measures on one device. `tied` marks scores whose difference from the best
    one is not distinguished from 0, paired where both have replicates, and measures whose
    interval overlaps its.
    """
    vary = varying(records)
    names = variants(records)
    columns = _columns(records, names)
    plain = one_step_unit(records)
    rows = [_row(r, columns, vary=vary, names=names, plain=plain) for r in by_task(records)]
    for column in columns:
        rows = _mark(rows, column, replicates)
    return Table(tuple(vary), columns, tuple(rows), replicates)


def group_table(table: Table, group: str) -> Table:
    """Return one group's columns, and one row per thing that it is about.

    Quality and speed are about cells; training cost and first stages are about models, so cells
    that differ only in how they sample become one row.
    """
    columns = table.group(group)
    if group not in OF_THE_MODEL:
        return replace(table, columns=columns)
    vary = tuple(name for name in table.vary if name in ("dataset", "progress", "train_seed"))
    seen: dict[tuple[str, ...], Row] = {}
    for row in table.rows:
        if any(c.key in row.entries for c in columns):
            leading = tuple(identity(row.record.cell, vary, plain=table.is_plain))
            seen.setdefault(leading, replace(row, leading=leading))
    return Table(vary, columns, tuple(seen.values()), table.replicates)


def variants(records: Sequence[Record]) -> Protocols:
    """Return what tells the columns of one score apart; '' where one column holds them all.

    Scores of one protocol made in one way share a column, and so do those of several protocols
    whose signatures agree in every record.
    """
    made: dict[str, dict[_Way, dict[int, str]]] = defaultdict(lambda: defaultdict(dict))
    for place, record in enumerate(records):
        for score in (score for score in record.scores if not unmade(score)):
            way = score.protocol, recipe(score.signature)
            made[score.name][way][place] = score.signature
    return {(name, *way): text for name, ways in made.items() for way, text in _named(ways).items()}


_Way = tuple[str, str]
"""(protocol, recipe)"""


def _named(ways: Mapping[_Way, Mapping[int, str]]) -> dict[_Way, str]:
    """Name every way of making a score; those with the same signatures alike."""
    alike: dict[frozenset[tuple[int, str]], list[_Way]] = defaultdict(list)
    for way, signatures in ways.items():
        alike[frozenset(signatures.items())].append(way)
    if len(alike) == 1:
        return dict.fromkeys(ways, "")
    protocols = [", ".join(dict.fromkeys(p for p, _ in same)) for same in alike.values()]
    if len({p for p in protocols if p}) == len(alike):
        names = protocols
    else:
        own = _own_fields([Signature.parse(same[0][1]).fields for same in alike.values()])
        parted = len(set(protocols)) > 1
        both = zip(protocols, own, strict=True)
        names = [" ".join(([p] if parted and p else []) + o) for p, o in both]
    return {way: name for name, same in zip(names, alike.values(), strict=True) for way in same}


def _own_fields(recipes: Sequence[Mapping[str, str]]) -> list[list[str]]:
    """Return what each recipe has and not all have, evaluators without digest where that tells."""
    common = set.intersection(*(set(fields.items()) for fields in recipes))
    short = [
        [v.partition("@")[0] for k, v in fields.items() if (k, v) not in common]
        for fields in recipes
    ]
    if len({tuple(own) for own in short}) == len({tuple(r.items()) for r in recipes}):
        return short
    return [[v for k, v in fields.items() if (k, v) not in common] for fields in recipes]


def recipe(signature: str) -> str:
    """Return the part of a signature that says how, whatever the dataset and the count."""
    return str(Signature.parse(signature).without(OF_THE_CELL))


def score_key(score: Score, names: Protocols) -> str:
    """Return the column of a score: its name, and what tells it from others of the name."""
    way = names.get((score.name, score.protocol, recipe(score.signature)), "")
    return f"{score.name}[{way}]" if way else score.name


def _columns(records: Sequence[Record], names: Protocols) -> tuple[Column, ...]:
    numbers: dict[str, list[float]] = defaultdict(list)
    made: dict[str, tuple[str, str, str]] = {}
    elsewhere = {name for name, _, _ in names}
    for record in records:
        for score in record.scores:
            if unmade(score) and score.name in elsewhere:
                continue
            key = score_key(score, names)
            unit = quantity_of(score.name).unit
            way = names.get((score.name, score.protocol, recipe(score.signature)), "")
            made.setdefault(key, (score.name, unit, way))
            numbers[key] += [score.value] if score.value is not None else []
        for measure in record.measures:
            made.setdefault(measure.name, (measure.name, measure.unit, ""))
            if measure.converted:
                made[measure.name] = (measure.name, measure.unit, "converted")
            numbers[measure.name] += [measure.value] if measure.value is not None else []
    order = list(QUANTITIES)
    keys = sorted(made, key=lambda k: order.index(made[k][0]) if made[k][0] in order else 999)
    return tuple(
        Column(k, quantity_of(made[k][0]), made[k][1], scale_of(numbers[k], made[k][1]), made[k][2])
        for k in keys
    )


def _row(
    record: Record,
    columns: Sequence[Column],
    *,
    vary: Sequence[str],
    names: Protocols,
    plain: bool,
) -> Row:
    by_key = {c.key: c for c in columns}
    entries: dict[str, Entry] = {}
    for score in record.scores:
        keys = [c.key for c in columns if c.quantity.name == score.name]
        for key in keys if unmade(score) else [score_key(score, names)]:
            among = (*_alike(record, by_key[key]), score.signature)
            entries[key] = _entry(score, by_key[key], among)
    for measure in record.measures:
        column = by_key[measure.name]
        among = (*_alike(record, column), measure.device)
        entries[measure.name] = _entry(measure, column, among)
    return Row(record, tuple(identity(record.cell, vary, plain=plain)), entries)


def _alike(record: Record, column: Column) -> tuple[str, ...]:
    """Return what rivals have in common: the dataset; the task and size, but of first stages.

    The identity (f = 1) loses nothing, so it is no rival of first stages that compress.
    """
    cell = record.cell
    if column.quantity.group == "first stage":
        return cell.dataset, "identity" if cell.f == 1 else "compressed"
    return cell.dataset, cell.conditioning or "", cell.size or ""


def _entry(made: Score | Measure, column: Column, among: tuple[str, ...]) -> Entry:
    if made.value is None:
        return Entry(None, None, None, "–", "", made.reason or "not measured", among)
    d = column.scale.divisor
    low, high = (x / d if x is not None else None for x in (made.low, made.high))
    text, spread = with_interval(made.value / d, low, high)
    score = made if isinstance(made, Score) else None
    return Entry(made.value, made.low, made.high, text, spread, made.reason, among, score=score)


def _mark(rows: list[Row], column: Column, replicates: Replicas) -> list[Row]:
    key, better = column.key, column.quantity.best
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        if key in row.entries and row.entries[key].value is not None:
            groups[row.entries[key].among].append(place)
    marked = list(rows)
    for places in groups.values():
        entries = [rows[place].entries[key] for place in places]
        if better is None or len({e.value for e in entries}) < 2:
            continue
        if entries[0].score is None:
            new = _measured(entries, better)
        else:
            new = _scored([rows[place].record for place in places], entries, column, replicates)
        for place, entry in zip(places, new, strict=True):
            marked[place] = replace(rows[place], entries={**rows[place].entries, key: entry})
    return marked


def _measured(entries: Sequence[Entry], better: str) -> list[Entry]:
    pick = min if better == "lower" else max
    best = pick(entries, key=lambda e: e.value if e.value is not None else 0.0)
    return [
        replace(e, best=e.value == best.value, tied=e.value != best.value and _overlap(e, best))
        for e in entries
    ]


def _scored(
    records: Sequence[Record], entries: Sequence[Entry], column: Column, replicates: Replicas
) -> list[Entry]:
    pairs = zip(records, entries, strict=True)
    scored = [(record, entry.score) for record, entry in pairs if entry.score is not None]
    rivals = rivals_of(scored, column.quantity.best or "", replicates)
    rows = {row.cell_b: row for row in rivals.rows}
    return [
        _held(entry, rows.get(record.cell.id), rivals.best[1], column)
        for record, entry in zip(records, entries, strict=True)
    ]


def _held(entry: Entry, row: Difference | None, best: Score, column: Column) -> Entry:
    """Return an entry marked as the best, as not distinguished from it, or with its distance."""
    if row is None or entry.value == best.value:
        return replace(entry, best=True)
    if row.low is None or row.high is None:
        return entry
    low, gap, high = (
        f"{number(end / column.scale.divisor, digits=3)}"
        for end in (row.low, row.difference or 0.0, row.high)
    )
    how = "in pairs" if row.method.startswith("paired") else "from the two intervals"
    text = f"{gap} from the best, interval {low} to {high}, {how}"
    return replace(entry, tied=row.verdict != "differs", gap=text)


def _overlap(a: Entry, b: Entry) -> bool:
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return False
    return a.low <= b.high and b.low <= a.high
