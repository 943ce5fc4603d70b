"""How many units of work a plan has: by division, without a list of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ldmbench.schema.stage import Stage

MOST_UNITS = 400_000
"""Stages and shards of a plan: what is looked up in the store, one by one, before anything runs."""


def too_large(stages: Iterable[Stage]) -> str | None:
    """Say that stages have more units than a plan may have, or nothing."""
    units: Counter[str] = Counter()
    for stage in stages:
        units[stage.kind] += -(-(stage.count or 0) // stage.shard) if stage.shard else 1
    if units.total() <= MOST_UNITS:
        return None
    kind, most = units.most_common(1)[0]
    return (
        f"the plan has {units.total():,} units of work, {most:,} of {kind}; allowed:"
        f" {MOST_UNITS:,}; use fewer images or fewer cells"
    )
