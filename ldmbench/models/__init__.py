"""Networks: autoencoders, denoisers, conditioners, and loading of released ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ldmbench.registry import lazily

if TYPE_CHECKING:
    from ldmbench.models.loader import load
    from ldmbench.models.model import Info, Model

__all__ = ["Info", "Model", "load"]

__getattr__ = lazily(__name__, {"Info": "model", "Model": "model", "load": "loader"})
"""The room's door stays free of torch."""


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
