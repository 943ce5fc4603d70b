"""Verdicts: pass, improved, regressed, inconclusive, incomparable; and what the gate ends with."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ldmbench.gating.interval import Change
from ldmbench.schema.baseline import Rule

__all__ = ["ORDER", "Item", "Outcome", "Verdict", "judge_change"]

Verdict = Literal["pass", "improved", "regressed", "inconclusive", "incomparable"]
ORDER: tuple[Verdict, ...] = ("regressed", "incomparable", "inconclusive", "improved", "pass")
"""Worst first: the order in which verdicts are shown."""


@dataclass(frozen=True)
class Item:
    """The verdict on one measure of one cell.

    Attributes:
        cell: the cell's id; "all cells" for the mean of a speed over them.
        name: the score or measure; "cell" for a whole cell that is missing.
        protocol: of a score, "" otherwise.
        verdict: what the gate says.
        reason: why, in a few words.
        before: the accepted value; the mean of several.
        now: the value of this run.
        change: now against before; a share when `relative`, else in the measure's unit. Speed is
            corrected by the yardstick.
        low: lower end of the change's interval; simultaneous over the whole gate.
        high: upper end.
        relative: whether `change`, `low` and `high` are shares.
        tolerance: the accepted loss, on the same scale.
        limit: the loss that must not go unseen.
        method: how the interval was made.
        in_yardsticks: whether `change` and its interval are of times in yardsticks: how much of
            the fixed workload's time it takes, so that a slower machine is no change.
    """

    cell: str
    name: str
    protocol: str
    verdict: Verdict
    reason: str
    before: float | None = None
    now: float | None = None
    change: float | None = None
    low: float | None = None
    high: float | None = None
    relative: bool = True
    tolerance: float | None = None
    limit: float | None = None
    method: str = ""
    in_yardsticks: bool = False

    @property
    def noisy(self) -> bool:
        """Whether it was measured and has an interval: if inconclusive, then from noise alone."""
        return self.low is not None


@dataclass(frozen=True)
class Outcome:
    """Everything a gate found.

    Attributes:
        run: that was judged.
        baseline: what it is called.
        items: the verdicts.
        failed: cell -> why it failed.
        notes: what was not judged, and why.
        noise_passes: verdicts that are inconclusive from noise alone do not end a gate with 3, as
            long as something passed; what was not measured still does.
    """

    run: str
    baseline: str
    items: tuple[Item, ...]
    failed: dict[str, str]
    notes: tuple[str, ...] = ()
    noise_passes: bool = False

    @property
    def counts(self) -> dict[str, int]:
        """How many measures got each verdict, worst first."""
        found = Counter(item.verdict for item in self.items)
        return {verdict: found[verdict] for verdict in ORDER}

    @property
    def exit_code(self) -> int:
        """What the program returns: 1 regressed, 4 failed, 2 unlike, 3 inconclusive, 0 pass."""
        counts = self.counts
        if counts["regressed"]:
            return 1
        if self.failed:
            return 4
        if counts["incomparable"]:
            return 2
        if not self.items:
            return 3
        if self.noise_passes and counts["pass"] + counts["improved"]:
            noisy = sum(item.verdict == "inconclusive" and item.noisy for item in self.items)
            return 3 if counts["inconclusive"] > noisy else 0
        return 3 if counts["inconclusive"] else 0

    @property
    def verdict(self) -> str:
        """One word for the whole gate."""
        words = {0: "pass", 1: "regressed", 2: "incomparable", 3: "inconclusive", 4: "failed"}
        return words[self.exit_code]

    def to_json(self) -> dict[str, Any]:
        """Return this as strict JSON."""
        return {
            "verdict": self.verdict,
            "exit_code": self.exit_code,
            "run": self.run,
            "baseline": self.baseline,
            "counts": self.counts,
            "failed": self.failed,
            "items": [asdict(item) for item in self.items],
            "notes": list(self.notes),
        }


def judge_change(
    found: Change, rule: Rule, *, tolerance: float, limit: float
) -> tuple[Verdict, str]:
    """Return the verdict on a change and a sentence why.

    Args:
        found: new minus accepted.
        rule: says which way is worse.
        tolerance: accepted loss, on the scale of the change.
        limit: loss that must not go unseen, on the same scale.
    """
    least, most = (found.low, found.high) if rule.better == "lower" else (-found.high, -found.low)
    if least > tolerance:
        return "regressed", "surely worse than the tolerance"
    if most < -tolerance:
        return "improved", "surely better than the tolerance"
    if most < max(limit, tolerance):
        return "pass", "no loss beyond the limit"
    return "inconclusive", "too noisy: a loss beyond the limit cannot be excluded"
