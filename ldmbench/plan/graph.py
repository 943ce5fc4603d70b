"""Subsets of a plan."""

from __future__ import annotations

from collections.abc import Sequence

from ldmbench.schema.stage import Cell, Plan, lineage


def subset(plan: Plan, cells: Sequence[Cell]) -> Plan:
    """Return the plan of some of its cells: nothing is kept that they do not need."""
    needed = lineage((key for cell in cells for key in cell.stages.values()), plan.by_key())
    stages = tuple(stage for stage in plan.stages if stage.key in needed)
    return plan.model_copy(update={"cells": tuple(cells), "stages": stages})
