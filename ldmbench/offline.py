"""Whether connections are forbidden: --offline, or LDMBENCH_OFFLINE in the environment."""

from __future__ import annotations

import os

__all__ = ["is_offline"]


def is_offline() -> bool:
    """Tell whether no connection may be opened."""
    return os.environ.get("LDMBENCH_OFFLINE", "").lower() not in ("", "0", "false", "no")
