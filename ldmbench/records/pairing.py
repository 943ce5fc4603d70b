"""Pairing: which cell of one side is held against which of the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ldmbench.errors import InputError
from ldmbench.records.axes import axes_of, is_seed
from ldmbench.schema.record import Record, Score

__all__ = ["Pair", "differing", "left_out", "one_axis", "pairs_of", "score_pairs"]

OWN = "own"
"""The sampler of code that samples by itself, as ids of cells write it."""

Pair = tuple[Record, Record]


def pairs_of(a: Sequence[Record], b: Sequence[Record]) -> list[Pair]:
    """Match cells by id, or else by the axes that are not each side's only value.

    Raises:
        InputError: if several cells of a side fit one of the other.
    """
    mine, theirs = ({r.cell.id: r for r in side} for side in (a, b))
    same = [(mine[i], theirs[i]) for i in mine if i in theirs]
    if same:
        return same
    apart = differing(a, b)
    first, second = (_keyed(side, apart) for side in (a, b))
    shared = [key for key in first if key in second]
    for key in shared:
        for one, others in ((first[key], second[key]), (second[key], first[key])):
            if len(others) > 1:
                raise InputError(_several(one[0], others))
    return [(first[key][0], second[key][0]) for key in shared]


def differing(a: Sequence[Record], b: Sequence[Record]) -> dict[str, tuple[str, str]]:
    """Return the axes of which each side has a single value, and not the same one."""
    first, second = (_values(side) for side in (a, b))
    return {
        name: (next(iter(first[name])) or "none", next(iter(second[name])) or "none")
        for name in dict.fromkeys([*first, *second])
        if len(first.setdefault(name, {None: None})) == 1
        and len(second.setdefault(name, {None: None})) == 1
        and first[name] != second[name]
    }


def one_axis(a: Sequence[Record], b: Sequence[Record], titles: tuple[str, str]) -> str:
    """Return the axis in which two groups of cells differ.

    An axis that only one group has follows from the other (f = 1 has no regularization), and so
    does eta from the sampler, and the sampler from a model that samples by its own code. Seeds may
    be others on both sides.

    Raises:
        InputError: if they share cells, or differ in no axis, in several, or in several values.
    """
    both = {r.cell.id for r in a} & {r.cell.id for r in b}
    if both:
        raise InputError(
            f"{titles[0]} and {titles[1]} both match {min(both)}; choose globs that share no cell"
        )
    first, second = _values(a), _values(b)
    apart = {
        name: (list(first[name]), list(second[name]))
        for name in first
        if name in second and not first[name].keys() & second[name].keys()
    }
    if "sampler" in apart:
        apart.pop("eta", None)
        if "model" in apart and OWN in (*apart["sampler"][0], *apart["sampler"][1]):
            apart.pop("sampler")
    if not all(map(is_seed, apart)):  # seeds draw anew what is compared
        apart = {name: values for name, values in apart.items() if not is_seed(name)}
    difference = "; ".join(
        f"{name} is {_listed(x)} in A and {_listed(y)} in B" for name, (x, y) in apart.items()
    )
    if len(apart) != 1:
        raise InputError(
            f"{titles[0]} and {titles[1]} differ in {difference or 'no axis that both have'}; two"
            " groups must differ in one axis only: use narrower globs, or compare them as RUN:GLOB"
            " RUN:GLOB"
        )
    ((name, (x, y)),) = apart.items()
    if len(x) > 1 or len(y) > 1:
        raise InputError(
            f"{titles[0]} and {titles[1]}: {difference}; narrow the globs to one {name} each"
        )
    return name


def left_out(
    titles: tuple[str, str], sides: tuple[Sequence[Record], ...], pairs: Sequence[Pair]
) -> Iterator[str]:
    """Say which cells of a side have no partner."""
    for place, (title, side) in enumerate(zip(titles, sides, strict=True)):
        matched = {pair[place].cell.id for pair in pairs}
        alone = [r.cell.id for r in side if r.cell.id not in matched]
        if alone:
            more = f" and {len(alone) - 3} more" if len(alone) > 3 else ""
            yield f"only in {title}: {', '.join(alone[:3])}{more}"


def _keyed(
    side: Sequence[Record], but: Mapping[str, object]
) -> dict[tuple[tuple[str, str], ...], list[Record]]:
    found: dict[tuple[tuple[str, str], ...], list[Record]] = {}
    for record in side:
        axes = sorted((n, v) for n, v in axes_of(record.cell).items() if n not in but)
        found.setdefault(tuple(axes), []).append(record)
    return found


def _values(side: Sequence[Record]) -> dict[str, dict[str | None, None]]:
    """Return axis -> its values on a side, in order; None where a cell does not have it."""
    every = [axes_of(record.cell) for record in side]
    names = dict.fromkeys(name for axes in every for name in axes)
    return {name: dict.fromkeys(axes.get(name) for axes in every) for name in names}


def _listed(values: Sequence[str | None]) -> str:
    shown = [v or "none" for v in values[:4]]
    return " or ".join(shown) + (" and others" if len(values) > 4 else "")


def _several(one: Record, others: Sequence[Record]) -> str:
    ids = ", ".join(r.cell.id for r in others[:3])
    return (
        f"{one.cell.id} could be compared with {len(others)} cells: {ids}; narrow the globs so"
        " that one is left"
    )


def score_pairs(a: Record, b: Record, metrics: Sequence[str]) -> Iterator[tuple[Score, Score]]:
    """Match by protocol and name; a metric under one protocol on each side by name alone."""
    names = dict.fromkeys(s.name for s in a.scores if not metrics or s.name in metrics)
    for name in names:
        mine = {s.protocol: s for s in a.scores if s.name == name}
        theirs = {s.protocol: s for s in b.scores if s.name == name}
        shared = [p for p in mine if p in theirs]
        if shared:
            yield from ((mine[p], theirs[p]) for p in shared)
        elif len(mine) == len(theirs) == 1:
            yield next(iter(mine.values())), next(iter(theirs.values()))
