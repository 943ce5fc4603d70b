"""What a row of any table of numbers says: how a number is named, shown and judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Better = Literal["lower", "higher"]
By = Literal["difference", "ratio", "exact"]
Group = Literal["quality", "speed", "training", "first stage", "other"]

GROUPS: dict[Group, str] = {
    "quality": "Quality",
    "speed": "Speed",
    "training": "Training cost",
    "first stage": "First stage",
    "other": "Other",
}
"""Groups of columns in a report -> their headings, in the order in which they are shown."""


@dataclass(frozen=True, kw_only=True)
class Gate:
    """How `ldmbench gate` judges a number; docs/gate.md says what each field means.

    Attributes:
        by: difference (scores with intervals), ratio (times), exact (counts).
        relative: tolerance, limit and noise are shares of the accepted value.
        tolerance: a loss up to this is accepted.
        limit: a loss of this size must be found.
        noise: standard deviation between runs that no interval shows.
    """

    by: By = "difference"
    relative: bool = True
    tolerance: float = 0.0
    limit: float = 0.0
    noise: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A number that the program makes: a metric of images, or a measure of speed and cost.

    Attributes:
        name: in suites, records and tables.
        label: what people read.
        about: what it is, in one line.
        better: which way it is better; None where neither is.
        group: of columns in a report.
        unit: of the value; "" where it has none.
        ranked: whether values of different models may be ranked.
        foretells: it is of a first stage alone and is said to foretell the quality of samples;
            findings say how far it orders first stages as these do.
        gate: how a gate judges it; None: it is recorded and never judged.
    """

    name: str
    label: str
    about: str = ""
    better: Better | None = None
    group: Group = "other"
    unit: str = ""
    ranked: bool = True
    foretells: bool = False
    gate: Gate | None = None

    @property
    def summary(self) -> str:
        """What it is, for lists."""
        return self.about

    @property
    def best(self) -> Better | None:
        """Which way a report ranks it; None where it does not."""
        return self.better if self.ranked else None

    @property
    def axis(self) -> str:
        """The title of an axis that shows it."""
        return f"{self.label}, {self.unit}" if self.unit else self.label
