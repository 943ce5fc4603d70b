"""Order, subsets and ancestors of a plan."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ldmbench.schema.stage import Cell, Plan


def ancestors(plan: Plan, keys: Iterable[str]) -> set[str]:
    """Return these keys and the keys of everything they are made from."""
    by_key = plan.by_key()
    found: set[str] = set()
    todo = list(keys)
    while todo:
        key = todo.pop()
        if key not in found:
            found.add(key)
            todo += [item.key for item in by_key[key].inputs.values()]
    return found


def subset(plan: Plan, cells: Sequence[Cell]) -> Plan:
    """Return the plan of some of its cells: nothing is kept that they do not need."""
    needed = ancestors(plan, (key for cell in cells for key in cell.stages.values()))
    stages = tuple(stage for stage in plan.stages if stage.key in needed)
    return plan.model_copy(update={"cells": tuple(cells), "stages": stages})
