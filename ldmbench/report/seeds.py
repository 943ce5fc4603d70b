"""Seeds: cells that differ in their seeds alone, in one row with their mean and its errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ldmbench.records.difference import holm
from ldmbench.records.groups import MISSING, ONE_TRAINING, block_of, difference_error, seeds_of
from ldmbench.records.spread import Bar, Block, Spread, spread_of
from ldmbench.report.cells import SEEDS, identity_of, seedless
from ldmbench.report.quantities import number, with_interval
from ldmbench.report.tables import Column, Entry, Row, Table

__all__ = ["BARS", "HOW", "Pooled", "Shown", "pooled"]

HOW = (
    "Cells that differ in their seeds alone are one row: the mean over them ± half of its 95 %"
    " interval over training seeds and samples, or, of rows with one training, over samples alone."
    " Bold: best mean of its dataset. ≈: not distinguished from it (Student's t on differences, in"
    " pairs where seeds are common, corrected for the number of rows by Holm). Of two models with"
    f" one training each, {ONE_TRAINING}."
)
BARS = (
    "Half of the 95 % interval of each mean, over one source of error at a time. Images: finite n"
    " and m, for these trainings and sample seeds. Sample seeds: for these trainings. Training"
    " seeds: for these sample seeds. Both: new trainings and new samples. SD: standard deviation of"
    " one cell, between trainings (beyond sampling, with its interval) and by sampling (between"
    " sample seeds; with one seed, of its images). Training share: its part of the variance of one"
    " cell."
)
ALPHA = 0.05


@dataclass(frozen=True)
class Shown:
    """A text of the table of errors, and why it is no number."""

    text: str
    reason: str = ""


@dataclass(frozen=True)
class Pooled:
    """The tables over seeds.

    Attributes:
        table: means, a row for all cells that differ in seeds alone.
        counts: of each row: trainings, sample seeds.
        spreads: of each row: column key -> the errors of its mean.
        cells: of each row: the ids of its cells.
    """

    table: Table
    counts: tuple[tuple[int, int], ...]
    spreads: tuple[Mapping[str, Spread], ...]
    cells: tuple[tuple[str, ...], ...]

    @property
    def headings(self) -> tuple[str, ...]:
        """Headings of the leading texts."""
        return (*self.table.headings, "Trainings", "Sample seeds")

    @property
    def rows(self) -> list[Row]:
        """Rows of the means, led by how many seeds they have too."""
        pairs = zip(self.table.rows, self.counts, strict=True)
        return [replace(row, leading=(*row.leading, *map(str, n))) for row, n in pairs]

    @property
    def bar_headings(self) -> tuple[str, ...]:
        """Headings of the table of errors."""
        more = ("± images", "± sample seeds", "± training seeds", "± both")
        return (
            *(*self.headings, "Score", "Mean", *more),
            *("SD training", "SD sampling", "Training share"),
        )

    @property
    def bars(self) -> list[list[Shown]]:
        """Rows of the table of errors: one for each score of each row."""
        found = []
        for row, spreads in zip(self.rows, self.spreads, strict=True):
            for column in self.table.columns:
                if column.key in spreads:
                    lead = [Shown(text) for text in (*row.leading, column.heading)]
                    found.append(lead + _written(spreads[column.key], column.scale.divisor))
        return found


def pooled(table: Table) -> Pooled | None:
    """Return scores with seeds pooled, or None where no two cells differ in seeds alone.

    A row has a number where all of its seeds have one that was computed in the same way.
    """
    vary = tuple(name for name in table.vary if name not in SEEDS)
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in table.rows:
        fields = identity_of(row.record.cell, vary)
        dataset = (row.record.cell.dataset,)
        groups.setdefault((seedless(row.record.cell), *dataset, *fields.values()), []).append(row)
    if all(len(rows) < 2 for rows in groups.values()):
        return None
    columns = tuple(c for c in table.columns if _is_of_samples(table, c))
    blocks = [{c.key: _block(own, c, table) for c in columns} for own in groups.values()]
    rows = [
        _row(own, columns, vary, made) for own, made in zip(groups.values(), blocks, strict=True)
    ]
    for column in columns:
        rows = _mark(rows, column, [made[column.key] for made in blocks])
    return Pooled(
        Table(vary, columns, tuple(rows), table.replicates),
        tuple(_counts(own) for own in groups.values()),
        tuple(
            {key: spread_of(block) for key, block in made.items() if isinstance(block, Block)}
            for made in blocks
        ),
        tuple(tuple(row.record.cell.id for row in own) for own in groups.values()),
    )


def _is_of_samples(table: Table, column: Column) -> bool:
    entries = (row.entries.get(column.key) for row in table.rows)
    return column.quantity.group in ("quality", "other") and any(e and e.score for e in entries)


def _counts(rows: Sequence[Row]) -> tuple[int, int]:
    """Return how many trainings and how many sample seeds the cells of a row have."""
    named = [seeds_of(row.record.cell) for row in rows]
    return len({training for training, _ in named}), len({seed for _, seed in named})


def _block(rows: Sequence[Row], column: Column, table: Table) -> Block | str:
    """Return the scores of a row's cells, or why there is no mean of them."""
    entries = [(row, row.entries.get(column.key)) for row in rows]
    scored = [(row.record, e.score) for row, e in entries if e is not None and e.score is not None]
    if len(scored) < len(rows):
        return MISSING
    return block_of(scored, table.replicates)


def _row(
    rows: Sequence[Row],
    columns: Sequence[Column],
    vary: Sequence[str],
    blocks: Mapping[str, Block | str],
) -> Row:
    cell = rows[0].record.cell
    fields = identity_of(cell, vary)
    leading = (cell.dataset if name == "dataset" else fields[name] for name in vary)
    entries = {}
    for column in columns:
        there = [row.entries[column.key] for row in rows if column.key in row.entries]
        if there:
            entries[column.key] = _entry(there[0], blocks[column.key], column)
    return Row(rows[0].record, (seedless(cell), *leading), entries)


def _entry(there: Entry, block: Block | str, column: Column) -> Entry:
    if isinstance(block, str):
        return replace(
            there, value=None, low=None, high=None, text="–", spread="", reason=block, score=None
        )
    found, d = spread_of(block), column.scale.divisor
    bar = found.both if found.trainings > 1 else found.images
    ends = (None if end is None else end / d for end in (bar.low, bar.high))
    text, half = with_interval(found.mean / d, *ends)
    return Entry(found.mean, bar.low, bar.high, text, half, None, there.among)


def _mark(rows: list[Row], column: Column, blocks: Sequence[Block | str]) -> list[Row]:
    """Mark the best mean of each group and the means that are not distinguished from it."""
    better, marked = column.quantity.best, list(rows)
    groups: dict[tuple[str, ...], dict[int, Block]] = {}
    for place, block in enumerate(blocks):
        if isinstance(block, Block):
            among = rows[place].entries[column.key].among
            groups.setdefault(among, {})[place] = block
    for own in groups.values():
        if better is None or len(own) < 2:
            continue
        pick = min if better == "lower" else max
        best = pick(own, key=lambda place: own[place].mean)
        gaps = {p: difference_error(own[best], own[p]) for p in own if p != best}
        chances = {p: error.p_value(gap) for p, (gap, error, _) in gaps.items() if error}
        corrected = dict(zip(chances, holm(list(chances.values())), strict=True))
        for place in own:
            entry = rows[place].entries[column.key]
            tied = corrected.get(place, 0.0) > ALPHA
            gap = f"p {corrected[place]:.2g}, {gaps[place][2]}" if place in corrected else ""
            entry = replace(entry, best=place == best, tied=tied, gap=gap)
            entries = {**rows[place].entries, column.key: entry}
            marked[place] = replace(rows[place], entries=entries)
    return marked


def _written(spread: Spread, divisor: float) -> list[Shown]:
    """Write the errors of a mean in the unit of its column."""

    def half(bar: Bar) -> Shown:
        if bar.value is None:
            return Shown("–", f"no value: {bar.reason}")
        return Shown(number(bar.value / divisor, digits=2))

    def ranged(bar: Bar) -> Shown:
        shown = half(bar)
        if bar.low is None or bar.high is None:
            return shown
        ends = (number(end / divisor, digits=2) for end in (bar.low, bar.high))
        return replace(shown, text=f"{shown.text} ({' to '.join(ends)})")

    bars = (spread.images, spread.sampling, spread.training, spread.both)
    share = (
        Shown("–", f"no value: {spread.sd_training.reason or spread.sd_sampling.reason}")
        if spread.share is None
        else Shown(f"{100 * spread.share:.0f} %")
    )
    mean = Shown(number(spread.mean / divisor))
    return [mean, *map(half, bars), ranged(spread.sd_training), half(spread.sd_sampling), share]
