"""Comparison of two sets of records: paired differences from stored replicates, with Holm."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ldmbench.catalog.metrics import SCORES
from ldmbench.errors import InputError, UnlikeError
from ldmbench.records.difference import (
    Difference,
    Verdict,
    check_levels,
    difference,
    holm,
    judged,
)
from ldmbench.records.means import mean_differences
from ldmbench.records.number import Array, Replicas
from ldmbench.records.pairing import left_out, pairs_of, score_pairs
from ldmbench.records.seeded import Group, one_training, seeded_of
from ldmbench.schema.record import Record, Score
from ldmbench.schema.signature import Signature
from ldmbench.store.artifact import MANIFEST
from ldmbench.store.disk import Address, Store, is_key

__all__ = [
    "Comparison",
    "Difference",
    "Replicas",
    "Side",
    "compare",
    "holm",
    "stored_replicates",
]

REPLICATES = "replicates.npz"
_STATE_IT = (
    "  quant None: a model of `kind: call` does not say how its code makes 0..255; if you know it,"
    " write `quantize: round` (or truncate) into it and run the suite again"
)


@dataclass(frozen=True)
class Side:
    """One side of a comparison.

    Attributes:
        title: what the user called it.
        records: its cells.
        replicates: where the replicates of a score are found.
    """

    title: str
    records: tuple[Record, ...]
    replicates: Replicas


@dataclass(frozen=True)
class Comparison:
    """All differences of two sides, and what was left out.

    Attributes:
        rows: one per pair of cells and score.
        notes: what has no partner, what failed.
        means: over the pairs of two groups of cells, one per score; none for two runs.
        groups: of cells that differ in seeds alone, one per group and score.
    """

    rows: tuple[Difference, ...]
    notes: tuple[str, ...]
    means: tuple[Difference, ...] = ()
    groups: tuple[Group, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Return "differs" if any mean does, else "undecided", else "same".

        Without means the groups over seeds count, and without these the rows.
        """
        groups = tuple(group.row for group in self.groups)
        found = {row.verdict for row in self.means or groups or self.rows}
        if "differs" in found:
            return "differs"
        return "undecided" if "undecided" in found or not found else "same"


def compare(
    a: Side,
    b: Side,
    *,
    metrics: Sequence[str] = (),
    confidence: float = 0.95,
    margin: float = 0.1,
) -> Comparison:
    """Compare every score that two sides have in common.

    Cells are matched by id, or else by all their axes but those of which each side has a single
    value, so that two models, two samplers or 10 steps against 50 can be compared over the others.

    Args:
        a: the older side.
        b: the newer side; differences are B - A.
        metrics: only these; all when empty.
        confidence: of the intervals; 1 - confidence bounds the chance of any false "differs".
        margin: "same" needs an interval within this share of the larger value.

    Raises:
        InputError: if nothing is in common.
        UnlikeError: naming the cell, the metric and every field in which signatures differ.
    """
    check_levels(confidence, margin)
    pairs = pairs_of(a.records, b.records)
    scores = [(x, y, s, t) for x, y in pairs for s, t in score_pairs(x, y, metrics)]
    seeded = seeded_of(a.records, b.records, metrics)
    _refuse_unlike([*scores, *seeded.scores])
    drawn = [(a.replicates(s), b.replicates(t)) for _, _, s, t in scores]
    rows = [
        difference(*four, replicates=both, level=confidence)
        for four, both in zip(scores, drawn, strict=True)
    ]
    titles, readers = (a.title, b.title), (a.replicates, b.replicates)
    sides = seeded.without(a.records), seeded.without(b.records)
    notes = (*left_out(titles, sides, pairs), *_failures(pairs), *one_training(pairs, seeded))
    if not rows and not seeded.scores and not any("failed" in note for note in notes):
        raise InputError(_nothing(a, b, metrics))
    means: list[Difference] = []
    if seeded.members and not _same_cells(pairs):
        means = seeded.means(readers, level=confidence)
    elif not _same_cells(pairs):
        parts = [(row, _apart(*both)) for row, both in zip(rows, drawn, strict=True)]
        means = list(mean_differences(parts, level=confidence))
    groups = seeded.groups(readers, level=confidence)
    levels = {"confidence": confidence, "margin": margin}
    settled = judged([group.row for group in groups], **levels)
    return Comparison(
        tuple(judged(rows, **levels)),
        notes,
        tuple(judged(means, **levels)),
        tuple(replace(group, row=row) for group, row in zip(groups, settled, strict=True)),
    )


def _same_cells(pairs: Sequence[tuple[Record, Record]]) -> bool:
    return bool(pairs) and all(x.cell.id == y.cell.id for x, y in pairs)


def _apart(a: Array | None, b: Array | None) -> Array | None:
    """Return the replicates of a difference."""
    return None if a is None or b is None or len(a) != len(b) else b - a


def stored_replicates(*stores: Path) -> Replicas:
    """Return a reader of replicates from the first of these stores that holds them."""
    opened = [Store(root) for root in dict.fromkeys(stores)]

    def read(score: Score) -> Array | None:
        if score.replicates is None or not is_key(score.replicates):
            return None
        address = Address("scores", score.replicates)
        paths = (_whole(store, address) for store in opened)
        path = next(filter(None, paths), None)
        return _read(path, score.name) if path else None

    return read


def _whole(store: Store, address: Address) -> Path | None:
    """Return the file of replicates, compared with its manifest where it lies beside one."""
    folder = store.folder(address)
    if (folder / MANIFEST).exists():
        return store.file(address, REPLICATES)
    return folder / REPLICATES if (folder / REPLICATES).is_file() else None


def _plain(name: str) -> str:
    """Return what a stage calls the score that a record calls rfid, truth_psnr and the like."""
    row = SCORES.get(name)
    return row.of or name if row else name


def _read(path: Path, name: str) -> Array | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            stored = name if name in arrays else _plain(name)
            values = np.asarray(arrays[stored], dtype=np.float64)
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None
    return values if values.ndim == 1 and len(values) and np.isfinite(values).all() else None


# ---------------------------------------------------------------- matching


def _refuse_unlike(scores: Sequence[tuple[Record, Record, Score, Score]]) -> None:
    """Name each way in which signatures differ once, with the first cell where it shows."""
    signatures, unknown = dict[str, str](), False
    for x, y, s, t in scores:
        fields = Signature.parse(s.signature).differences(Signature.parse(t.signature))
        if fields:
            how = ", ".join(f"{name} is {p} in A and {q} in B" for name, (p, q) in fields.items())
            cells = x.cell.id if x.cell.id == y.cell.id else f"{x.cell.id} and {y.cell.id}"
            signatures.setdefault(f"{s.name}: {how}", cells)
            unknown = unknown or "None" in fields.get("quant", ())
    if signatures:
        lines = "\n".join(f"  {how} ({cells})" for how, cells in signatures.items())
        if unknown:
            lines += f"\n{_STATE_IT}"
        raise UnlikeError(
            "numbers with different signatures are not compared; score both sides in the same way,"
            f" or choose others with --metrics:\n{lines}"
        )


def _failures(pairs: Sequence[tuple[Record, Record]]) -> Iterator[str]:
    for pair in pairs:
        for side, record in zip("AB", pair, strict=True):
            if record.status == "failed":
                yield f"failed in {side}: {record.cell.id}: {record.reason}"


def _nothing(a: Side, b: Side, metrics: Sequence[str]) -> str:
    wanted = f" of {', '.join(metrics)}" if metrics else ""
    lists = [", ".join(sorted(r.cell.id for r in s.records)[:4]) or "no cell" for s in (a, b)]
    return (
        f"{a.title} and {b.title} have no score{wanted} in common: A has {lists[0]}; B has"
        f" {lists[1]}; choose cells with RUN:GLOB"
    )
