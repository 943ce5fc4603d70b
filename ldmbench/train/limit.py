"""A training budget as something a loop can ask: are we done, and how far along?"""

from __future__ import annotations

from dataclasses import dataclass

from ldmbench.schema.models import Budget

__all__ = ["Limit", "limit_of"]


@dataclass(frozen=True)
class Limit:
    """Where training ends: after `steps`, or once `seconds` of device time are spent.

    Only a limit in steps gives the same weights on every machine.
    """

    steps: int | None = None
    seconds: float | None = None

    def fraction(self, steps: int, seconds: float) -> float:
        """Return the share of the budget that is spent, 0 to 1."""
        if self.steps is not None:
            return min(1.0, steps / self.steps)
        assert self.seconds is not None
        return min(1.0, seconds / self.seconds)


def limit_of(budget: Budget, *, batch: int, flops_per_image: float) -> Limit:
    """Return the limit that a budget sets; images and FLOPs are rounded to whole steps, at least 1.

    Args:
        budget: exactly one of its fields is set.
        batch: images per step.
        flops_per_image: of one image's forward and backward pass.
    """
    if budget.device_minutes is not None:
        return Limit(seconds=60 * budget.device_minutes)
    if budget.flops is not None:
        return Limit(steps=max(1, round(budget.flops / (batch * flops_per_image))))
    if budget.images is not None:
        return Limit(steps=max(1, round(budget.images / batch)))
    return Limit(steps=budget.steps)
