"""Networks: autoencoders, denoisers, conditioners, and loading of released ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ldmbench.registry import resolve

if TYPE_CHECKING:
    from ldmbench.models.load_model import Info, Model
    from ldmbench.models.loader import load

__all__ = ["Info", "Model", "load"]

_LAZY = {
    "Info": "ldmbench.models.load_model:Info",
    "Model": "ldmbench.models.load_model:Model",
    "load": "ldmbench.models.loader:load",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use: the room's door stays free of torch."""
    if name in _LAZY:
        return resolve(_LAZY[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
