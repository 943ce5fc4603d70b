"""Best: all scores of one signature against the best of them, paired where replicates are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ldmbench.catalog.metrics import METRICS
from ldmbench.records.difference import Difference, check_levels, difference, judged
from ldmbench.records.number import Replicas
from ldmbench.schema.record import Record, Score

__all__ = ["Rivals", "best_of", "rivals_of", "standings"]

Scored = tuple[Record, Score]
FIRST_STAGE = tuple(row.name for row in METRICS.values() if row.group == "first stage")
"""Scores that the identity (f = 1) has for nothing."""


@dataclass(frozen=True)
class Rivals:
    """The best of scores with one signature, and how every other differs from it.

    `rows` are other minus best, in the order of the others; Holm's correction is over them.
    """

    best: Scored
    rows: tuple[Difference, ...]

    @property
    def undistinguished(self) -> int:
        """How many others have an interval of the difference and are not distinguished by it."""
        return sum(row.p_holm is not None and row.verdict != "differs" for row in self.rows)


def best_of(scored: Sequence[Scored], better: str) -> Scored:
    """Return the best score; of equal ones the first."""
    pick = min if better == "lower" else max
    return pick(scored, key=lambda pair: pair[1].value if pair[1].value is not None else 0.0)


def rivals_of(
    scored: Sequence[Scored],
    better: str,
    replicates: Replicas,
    *,
    confidence: float = 0.95,
    margin: float = 0.1,
) -> Rivals:
    """Hold every score against the best one.

    Args:
        scored: scores with a value and one signature.
        better: "lower" or "higher".
        replicates: where the replicates of a score are found.
        confidence: 1 - confidence bounds the chance of any false "differs".
        margin: "same" needs an interval within this share of the larger value.
    """
    best = best_of(scored, better)
    own = replicates(best[1])
    rows = [
        difference(
            *(best[0], record, best[1], score),
            replicates=(own, replicates(score)),
            level=confidence,
        )
        for record, score in scored
        if record is not best[0]
    ]
    return Rivals(best, tuple(judged(rows, confidence=confidence, margin=margin)))


def standings(
    records: Sequence[Record],
    replicates: Replicas,
    better: Callable[[str], str | None],
    *,
    metrics: Sequence[str] = (),
    confidence: float = 0.95,
    margin: float = 0.1,
) -> Iterator[Rivals]:
    """Yield the rivals of every score, dataset and task, scores of one signature together.

    A score that several cells share (of a first stage) stands for the first of them.

    Args:
        records: of one run.
        replicates: where the replicates of a score are found.
        better: score name -> "lower", "higher" or None, which ranks nothing.
        metrics: only these; all when empty.
        confidence: as of `rivals_of`.
        margin: as of `rivals_of`.
    """
    check_levels(confidence, margin)
    groups: dict[tuple[str, ...], dict[object, Scored]] = {}
    for record in records:
        for score in record.scores:
            alone = score.name in FIRST_STAGE and record.cell.f == 1
            if score.value is None or alone or (metrics and score.name not in metrics):
                continue
            first = score.name in FIRST_STAGE
            task = "" if first else record.cell.conditioning or ""
            group = score.name, record.cell.dataset, task, score.signature
            own = groups.setdefault(group, {})
            shared = score.replicates if first else None
            own.setdefault(shared or record.cell.id, (record, score))
    for (name, *_), scored in groups.items():
        way = better(name)
        if way and len(scored) > 1:
            yield rivals_of(
                list(scored.values()), way, replicates, confidence=confidence, margin=margin
            )
