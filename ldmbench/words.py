"""Words of messages that several rooms share."""

from __future__ import annotations

__all__ = ["plural"]


def plural(count: int, noun: str) -> str:
    """Return '1 cell', '2 cells'."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
