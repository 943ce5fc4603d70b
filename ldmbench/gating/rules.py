"""Rules: which way each measure is better, what loss is accepted, what must not go unseen."""

from __future__ import annotations

from collections.abc import Mapping

from ldmbench.catalog.measures import MEASURES
from ldmbench.catalog.metrics import SCORES
from ldmbench.catalog.rows import Gate, Quantity
from ldmbench.registry import pick
from ldmbench.schema.baseline import Rule, RuleChange

__all__ = ["ANYWHERE", "RULES", "rules_with"]


def _rule(row: Quantity, gate: Gate) -> Rule:
    return Rule(
        better=row.better or "lower",
        by=gate.by,
        relative=gate.relative,
        tolerance=gate.tolerance,
        limit=gate.limit,
        noise=gate.noise,
    )


_QUANTITIES: dict[str, Quantity] = {**SCORES, **MEASURES}
RULES: dict[str, Rule] = {
    name: _rule(row, row.gate) for name, row in _QUANTITIES.items() if row.gate
}
"""The built-in rules. What is not named here is `recorded_only`: shown, never judged."""

ANYWHERE = frozenset(name for name, row in MEASURES.items() if row.anywhere)
"""Measures that no device changes; all others are compared with those of the same device alone."""


def rules_with(changes: Mapping[str, RuleChange]) -> dict[str, Rule]:
    """Return the built-in rules with those of a baseline laid over them.

    Raises:
        InputError: if a change names no measure, with the nearest name.
    """
    found = dict(RULES)
    known = {name: RULES.get(name, Rule()) for name in _QUANTITIES}
    for name, change in changes.items():
        rule = pick(known, name, "measure in the baseline's rules")
        found[name] = rule.model_copy(update=change.model_dump(exclude_none=True))
    return found
