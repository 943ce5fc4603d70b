"""What every noun shares: frozen, closed to unknown fields; and the mark of a sweepable field."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Noun(BaseModel):
    """A frozen model that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class AxisMark:
    """Marks a field on which a list in the suite is an axis."""


AXIS = AxisMark()

Positive = Field(gt=0)
Fraction = Field(gt=0, le=1)


def api_version(version: int) -> Any:
    """Return the field that says which version of a file format this is."""
    return Field(default=version, description="version of this file format")
