"""Networks: autoencoders, denoisers, conditioners, and loading of released ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ldmbench.registry import lazily

if TYPE_CHECKING:
    from ldmbench.models.load_model import Info, Model
    from ldmbench.models.loader import load

__all__ = ["Info", "Model", "load"]

__getattr__ = lazily(__name__, {"Info": "load_model", "Model": "load_model", "load": "loader"})
"""The room's door stays free of torch."""


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
