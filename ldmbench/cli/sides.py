"""Sides: which cells the words of `ldmbench compare` mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ldmbench.catalog.metrics import SCORES
from ldmbench.errors import InputError
from ldmbench.plan.expand import matches
from ldmbench.records.compare import Side, stored_replicates
from ldmbench.records.pairing import one_axis
from ldmbench.records.record_file import opened_run
from ldmbench.registry import pick
from ldmbench.schema.record import Record
from ldmbench.words import plural

__all__ = ["check_metrics", "chosen", "side_of", "sides_of"]


def check_metrics(names: Sequence[str], records: Sequence[Record]) -> None:
    """Refuse a metric that neither exists nor is in the records."""
    there = sorted({s.name for record in records for s in record.scores})
    for name in names:
        pick(dict.fromkeys([*SCORES, *there]), name, "metric")


def sides_of(words: Sequence[str], store: Path) -> tuple[Side, Side]:
    """Return what is compared: A and B, or two groups of cells of one run."""
    if len(words) == 2 and all(_is_glob(word) for word in words):
        words = ("", *words)
    if len(words) == 2 and _is_glob(words[1]):
        raise InputError(
            f"'{words[1]}' names cells and no run; give a second GLOB (RUN 'GLOB' 'GLOB'), or"
            f" '{words[0]}:{words[1]}' beside another run"
        )
    if len(words) == 2:
        return side_of(words[0], store), side_of(words[1], store)
    if len(words) != 3:
        raise InputError(
            f"{plural(len(words), 'word')} given; give A B, RUN 'GLOB' 'GLOB', or RUN --best"
        )
    run = side_of(words[0], store)
    titles = words[1], words[2]
    a, b = (replace(run, title=glob, records=chosen(run.records, (glob,))) for glob in titles)
    one_axis(a.records, b.records, titles)
    return a, b


def _is_glob(word: str) -> bool:
    """Tell whether a word can only mean cells: no id of a run has such letters."""
    return ("*" in word or "?" in word) and ":" not in word and not Path(word).exists()


def chosen(records: Sequence[Record], globs: Sequence[str]) -> tuple[Record, ...]:
    """Return the records whose cells match one of some globs.

    Raises:
        InputError: naming the first glob that matches nothing.
    """
    for glob in globs:
        if not any(matches(r.cell.id, glob) for r in records):
            ids = ", ".join(r.cell.id for r in records[:8]) or "no record"
            raise InputError(f"{glob}: no cell; there are: {ids}")
    return tuple(r for r in records if any(matches(r.cell.id, glob) for glob in globs))


def side_of(spec: str, store: Path) -> Side:
    """Return the cells that RUN, FILE, RUN:GLOB or FILE:GLOB names; '' is the last run.

    Cells on which only guidance was chosen are left out.
    """
    name, glob = _split(spec)
    run, all_runs = opened_run(name or None, store)
    records = tuple(r for r in all_runs.records(run.id) if not r.cell.chooses)
    kept = records if glob is None else chosen(records, (glob,))
    if not kept:
        raise InputError(f"{spec or run.id}: the run has no record yet")
    return Side(spec or run.id, kept, stored_replicates(*all_runs.stores, store))


def _split(spec: str) -> tuple[str, str | None]:
    """Split RUN:GLOB; a file may have a colon in its name."""
    if Path(spec).is_file() or ":" not in spec:
        return spec, None
    for place in (i for i, letter in enumerate(spec) if letter == ":"):
        if Path(spec[:place]).is_file():
            return spec[:place], spec[place + 1 :]
    name, _, glob = spec.partition(":")
    return name, glob
