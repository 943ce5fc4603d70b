"""States in which trainings ended: a longer training of the same kind goes on from one.

They lie in `states/` of the store, by a name without budget; each is a checkpoint that has the
digest of itself. To remove them costs time alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

from ldmbench.canonical import digest
from ldmbench.schema.stage import Stage

__all__ = ["in_turn", "training_of"]

LENGTH = ("budget", "checkpoints")
"""Parameters that do not decide on the state after a number of steps."""


def training_of(stage: Stage) -> str | None:
    """Return what all trainings share that differ in length alone; None: no state is kept."""
    if not stage.local.keep_state:
        return None
    params = {name: v for name, v in stage.params.keyed().items() if name not in LENGTH}
    inputs = {role: i.model_dump(include={"key", "count"}) for role, i in stage.inputs.items()}
    recipe = {"kind": stage.kind, "version": stage.version, "params": params, "inputs": inputs}
    return digest(recipe)[:32]


def in_turn(stages: Iterable[Stage]) -> dict[str, str]:
    """Return key -> key of the next shorter training, whose state the first goes on from.

    Budgets in different units are not compared: which is longer only the network's FLOPs tell.
    """
    alike: dict[tuple[str, str], list[tuple[float, str]]] = {}
    for stage in stages:
        name, budget = training_of(stage), _budget(stage)
        if name is not None:
            for unit, length in budget.items():
                alike.setdefault((name, unit), []).append((float(length), stage.key))
    chains = (sorted(chain) for chain in alike.values())
    return {longer: shorter for chain in chains for (_, shorter), (_, longer) in pairwise(chain)}


def _budget(stage: Stage) -> Mapping[str, Any]:
    found = stage.params.keyed().get("budget")
    stated = found if isinstance(found, Mapping) else {}
    return {unit: length for unit, length in stated.items() if length is not None}
