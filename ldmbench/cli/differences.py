"""Differences as lines of a terminal: values, interval, p-value, and which way is better."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ldmbench.catalog.metrics import SCORES
from ldmbench.cli.terminal import columns_of
from ldmbench.records.difference import Difference

__all__ = ["better", "cells", "change", "lines", "unpaired"]

WIDTH_COLUMNS = 78
"""Columns of a terminal of 80 beside the indent."""


def change(row: Difference) -> str:
    """Say whether B is better or worse, when it differs."""
    if row.verdict != "differs" or row.difference is None:
        return row.verdict
    up = row.difference > 0
    return {"higher": "better" if up else "worse", "lower": "worse" if up else "better"}.get(
        better(row.name) or "", "differs"
    )


def better(name: str) -> str | None:
    """Return which way a score is better, where that is known."""
    metric = SCORES.get(name)
    return metric.better if metric else None


def lines(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the lines of each row: one, or two where one would be too wide."""
    for gap in (2, 1):
        whole = columns_of(rows, right=[2], gap=gap)
        if max(map(len, whole), default=0) <= WIDTH_COLUMNS:
            return [[line] for line in whole]
    whole = columns_of([[*c[:3], c[5]] for c in rows], right=[2])
    return [
        [line, f"    {c[3]}  {c[4]}"] if c[3] else [line]
        for line, c in zip(whole, rows, strict=True)
    ]


def unpaired(rows: Sequence[Difference]) -> Iterator[str]:
    """Say which scores were not paired, and why."""
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.method.startswith("unpaired"):
            found.setdefault(row.method, {})[row.name] = None
    for method, names in found.items():
        yield f"{', '.join(names)} {method}"


def _p(value: float) -> str:
    return "p <0.001" if value < 0.001 else f"p {value:.2g}"


def cells(row: Difference) -> list[str]:
    """Return name, values, difference, interval, p-value and verdict, short enough for 80."""
    if row.difference is None or row.a is None or row.b is None:
        return [row.name, "", "", "", "", row.verdict]
    values, gap = f"{row.a:.4g} -> {row.b:.4g}", f"{row.difference:+.4g}"
    if row.low is None or row.high is None or row.p_holm is None:
        return [row.name, values, gap, "", "", row.verdict]
    interval = f"[{row.low:+.3g}, {row.high:+.3g}]"
    return [row.name, values, gap, interval, _p(row.p_holm), change(row)]
