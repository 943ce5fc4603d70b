"""Words of messages that several rooms share."""

from __future__ import annotations

__all__ = ["first_line", "plural"]


def plural(count: int, noun: str) -> str:
    """Return '1 cell', '2 cells'."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def first_line(error: BaseException) -> str:
    """Return the first line of an error, or of one without a message its kind."""
    return next((line for line in str(error).splitlines() if line), type(error).__name__)
