"""Baselines: accepted runs that a gate compares against, and the rules by which it judges."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ldmbench.schema.base import Noun, api_version
from ldmbench.schema.record import Measure, Score

Better = Literal["lower", "higher"]
By = Literal["difference", "ratio", "exact", "recorded_only"]


class Rule(Noun):
    """How a measure is judged: what is worse, what is accepted, what must not go unseen."""

    better: Better = "lower"
    by: By = Field(
        default="recorded_only",
        description="difference: of scores with intervals; ratio: of times, corrected by the"
        " yardstick; exact: of counted numbers; recorded_only: shown, never judged",
    )
    relative: bool = Field(
        default=True, description="tolerance, limit and noise are shares of the accepted value"
    )
    tolerance: float = Field(default=0.0, ge=0, description="a loss up to this is accepted")
    mean_tolerance: float | None = Field(
        default=None, ge=0, description="of a speed's mean over all cells; unset: `tolerance`"
    )
    limit: float = Field(default=0.0, ge=0, description="a loss of this size must not go unseen")
    noise: float = Field(
        default=0.0, ge=0, description="standard deviation between runs that no interval shows"
    )
    yardstick_doubt: float = Field(
        default=0.05, ge=0, description="how much of a yardstick's correction is not believed"
    )
    confidence: float = Field(
        default=0.99, gt=0, lt=1, description="that nothing in the whole gate is falsely regressed"
    )


class RuleChange(Noun):
    """The fields of a rule that a baseline sets otherwise."""

    better: Better | None = None
    by: By | None = None
    relative: bool | None = None
    tolerance: float | None = Field(default=None, ge=0)
    mean_tolerance: float | None = Field(default=None, ge=0)
    limit: float | None = Field(default=None, ge=0)
    noise: float | None = Field(default=None, ge=0)
    yardstick_doubt: float | None = Field(default=None, ge=0)
    confidence: float | None = Field(default=None, gt=0, lt=1)


class AcceptedScore(Noun):
    """A score and its replicate values, so that a gate needs neither torch nor the old store."""

    score: Score
    replicates: tuple[float, ...] = ()


class AcceptedCell(Noun):
    """What was accepted for one cell."""

    id: str
    model: str
    dataset: str
    scores: tuple[AcceptedScore, ...] = ()
    measures: tuple[Measure, ...] = ()
    keys: dict[str, str] = {}


class AcceptedRun(Noun):
    """One run somebody accepted, and where it came from."""

    run: str
    accepted: str = Field(description="UTC time")
    commit: str | None = Field(default=None, description="of the working folder, if in git")
    dirty: bool = Field(default=False, description="the working folder had uncommitted changes")
    machine: dict[str, Any] = {}
    versions: dict[str, str] = {}
    cells: tuple[AcceptedCell, ...]


class Baseline(Noun):
    """Accepted runs of one suite: of several train seeds, of several machines."""

    api_version: int = api_version(2)
    suite: str
    rules: dict[str, RuleChange] = Field(
        default={}, description="measure -> fields that differ from the built-in rule"
    )
    runs: tuple[AcceptedRun, ...] = ()
