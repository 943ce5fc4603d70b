"""(purpose, parts) -> seed; the only source of randomness in the project."""

from __future__ import annotations

from ldmbench.canonical import digest


def derive_seed(purpose: str, *parts: int | str) -> int:
    """Return a 63-bit seed that depends on its arguments alone.

    Args:
        purpose: what the randomness is for ("noise", "train", ...), so that uses never collide.
        parts: numbers or names that tell one use from another (seed, index, key).

    Examples:
        >>> derive_seed("noise", 0, 7) == derive_seed("noise", 0, 7)
        True
        >>> derive_seed("noise", 0, 7) == derive_seed("noise", 7, 0)
        False
    """
    return int(digest([purpose, *parts])[:16], 16) >> 1
