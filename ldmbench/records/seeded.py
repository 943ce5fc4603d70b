"""Seeded: differences of cells that differ in their seeds alone, as groups of two sides."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from ldmbench.records.axes import axes_of, is_seed
from ldmbench.records.difference import SAME_ARTEFACT, Difference
from ldmbench.records.groups import (
    MISSING,
    ONE_TRAINING,
    block_of,
    difference_error,
    seeds_of,
)
from ldmbench.records.number import Replicas
from ldmbench.records.pairing import differing, score_pairs
from ldmbench.records.spread import Block, Spread, spread_of
from ldmbench.schema.record import Record, Score

__all__ = ["Group", "Members", "Seeded", "group_difference", "one_training", "seeded_of"]

Readers = tuple[Replicas, Replicas]
"""Where the replicates of A and of B are found."""


@dataclass(frozen=True)
class Group:
    """The difference of two groups of cells, each of which differ in seeds alone.

    Attributes:
        row: mean of B minus mean of A, its interval with the variance between trainings.
        a: errors of the mean of A, apart; None where there is no mean.
        b: errors of the mean of B.
    """

    row: Difference
    a: Spread | None
    b: Spread | None


@dataclass(frozen=True)
class Members:
    """Cells of two sides that agree in everything but seeds and the axis that is compared."""

    a: tuple[Record, ...]
    b: tuple[Record, ...]

    @property
    def vary(self) -> bool:
        """Whether one side has several seeds."""
        return any(len({seeds_of(r.cell) for r in side}) > 1 for side in (self.a, self.b))


def _members_of(a: Sequence[Record], b: Sequence[Record], apart: Collection[str]) -> list[Members]:
    """Return the cells of two sides by all their axes but seeds and some others.

    Args:
        a: cells of A.
        b: cells of B.
        apart: axes in which the sides differ as a whole.
    """
    sides: list[dict[tuple[tuple[str, str], ...], list[Record]]] = [{}, {}]
    for side, records in zip(sides, (a, b), strict=True):
        for record in records:
            axes = axes_of(record.cell).items()
            key = sorted((n, v) for n, v in axes if n not in apart and not is_seed(n))
            side.setdefault(tuple(key), []).append(record)
    first, second = sides
    return [Members(tuple(first[k]), tuple(second[k])) for k in first if k in second]


def group_difference(
    members: Members,
    scores: tuple[Score, Score],
    replicates: Readers,
    *,
    level: float,
    alike: bool = True,
) -> Group:
    """Return the difference of two groups in one score, not yet judged.

    Args:
        members: their cells.
        scores: that score of a cell of A, and of one of B.
        replicates: where the replicates of A and of B are found.
        level: confidence of the intervals.
        alike: all cells of a side must have one signature; else they are averaged first.
    """
    sides = members.a, members.b
    blocks = [
        _block(side, score, read, alike=alike)
        for side, score, read in zip(sides, scores, replicates, strict=True)
    ]
    first, second = blocks
    row = _empty(members, scores)
    spreads = [spread_of(b, level=level) if isinstance(b, Block) else None for b in blocks]
    if isinstance(first, str) or isinstance(second, str):
        reasons = dict.fromkeys(block for block in blocks if isinstance(block, str))
        return Group(replace(row, method="; ".join(reasons)), *spreads)
    if _same_artefacts(members, scores):
        same = replace(row, a=first.mean, b=second.mean, difference=0.0, low=0.0, high=0.0, p=1.0)
        return Group(replace(same, method=SAME_ARTEFACT), *spreads)
    gap, error, how = difference_error(first, second)
    row = replace(row, a=first.mean, b=second.mean, difference=gap, method=how)
    if error is not None:
        half = error.half(level)
        row = replace(row, low=gap - half, high=gap + half, p=error.p_value(gap))
    return Group(row, *spreads)


def _same_artefacts(members: Members, scores: tuple[Score, Score]) -> bool:
    """Tell whether both sides have the very same scores."""
    keys = [
        [s.replicates for r in side for s in r.scores if s.name == score.name]
        for side, score in zip((members.a, members.b), scores, strict=True)
    ]
    return None not in keys[0] and keys[0] == keys[1]


def _block(
    records: Sequence[Record], score: Score, replicates: Replicas, *, alike: bool
) -> Block | str:
    """Return one score of a group as a block, or why there is none."""
    found = [
        (record, own)
        for record in records
        for own in record.scores
        if (own.name, own.protocol) == (score.name, score.protocol)
    ]
    if len(found) < len(records):
        return MISSING
    return block_of(found, replicates, alike=alike)


def _empty(members: Members, scores: tuple[Score, Score]) -> Difference:
    """Return a difference of two groups without values."""
    return Difference(
        cell_a=_title(members.a),
        cell_b=_title(members.b),
        name=scores[0].name,
        protocol=scores[0].protocol,
        n=sum(s.n for r in members.a for s in r.scores if s.name == scores[0].name),
        a=None,
        b=None,
        signature=scores[0].signature,
    )


def _title(records: Sequence[Record]) -> str:
    """Return the ids of cells that differ in seeds alone as one glob."""
    ids = [re.sub(r"train_seed=\d+", "train_seed=*", r.cell.id) for r in records]
    first = records[0].cell.id if len(records) == 1 else ids[0]
    seeds = {seeds_of(record.cell)[1] for record in records}
    title = re.sub(r"(?<=/)s\d+$", "s*", first) if len(seeds) > 1 else first
    plain = {re.sub(r"(?<=/)s\d+$", "s*", text) for text in ids}
    return title if len(plain) == 1 else f"mean of {len(records)} cells"


@dataclass(frozen=True)
class Seeded:
    """Groups of cells that differ in seeds alone; none where no seed was swept.

    Attributes:
        members: the cells of each group.
        scores: a cell of each side and a score that they share, for every group.
    """

    members: tuple[Members, ...] = ()
    scores: tuple[tuple[Record, Record, Score, Score], ...] = ()

    def without(self, side: Sequence[Record]) -> list[Record]:
        """Return the cells of a side that are in no group."""
        there = {r.cell.id for members in self.members for r in (*members.a, *members.b)}
        return [record for record in side if record.cell.id not in there]

    def groups(self, readers: Readers, *, level: float) -> list[Group]:
        """Return the difference of each group in each score."""
        by_cell = {members.a[0].cell.id: members for members in self.members}
        return [
            group_difference(by_cell[x.cell.id], (s, t), readers, level=level)
            for x, _, s, t in self.scores
        ]

    def means(self, readers: Readers, *, level: float) -> list[Difference]:
        """Return the mean difference over all groups; none where there is one group."""
        if len(self.members) < 2:
            return []
        every = Members(
            tuple(r for members in self.members for r in members.a),
            tuple(r for members in self.members for r in members.b),
        )
        firsts = {(s.name, s.protocol): (s, t) for _, _, s, t in reversed(self.scores)}
        return [
            group_difference(every, pair, readers, level=level, alike=False).row
            for pair in reversed(firsts.values())
        ]


def seeded_of(a: Sequence[Record], b: Sequence[Record], metrics: Sequence[str]) -> Seeded:
    """Return the groups of two sides whose members are seeds."""
    apart = differing(a, b)
    members = _members_of(a, b, apart)
    if not any(group.vary for group in members):
        return Seeded()
    scores = [
        (group.a[0], group.b[0], s, t)
        for group in members
        for s, t in score_pairs(group.a[0], group.b[0], metrics)
    ]
    return Seeded(tuple(members), tuple(scores))


def one_training(pairs: Sequence[tuple[Record, Record]], seeded: Seeded) -> Iterator[str]:
    """Say what an interval leaves out where each side has one training, and not the same one."""
    sides = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    if seeded.members:
        sides = ([r for m in seeded.members for r in m.a], [r for m in seeded.members for r in m.b])
    seeds = [len({seeds_of(r.cell)[0] for r in side}) for side in sides]
    if seeds == [1, 1] and any(_trained(x) != _trained(y) for x, y in pairs):
        yield f"one training seed on each side: {ONE_TRAINING}"


def _trained(record: Record) -> tuple[str | None, ...]:
    """Return what tells a record's training from others."""
    keys = {**record.cell.stages, **record.keys}
    found = tuple(keys.get(kind) for kind in ("autoencoder", "denoiser"))
    return found if any(found) else (record.cell.model,)
