"""ldmbench: quality, speed and cost of latent diffusion models, from one YAML file.

suite (YAML) -> plan (cells and stages) -> store (what is made, by key) -> execute (workers)
-> records (rows with signatures) -> outlets (report, gate, MLflow).
What happens to the data is `pipeline.py`; what a suite may name is `catalog/`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ldmbench.errors import InputError, LdmbenchError
from ldmbench.registry import lazily

if TYPE_CHECKING:
    from ldmbench.api import Run, compare, gate, load, open, run, score

__all__ = ["InputError", "LdmbenchError", "Run", "compare", "gate", "load", "open", "run", "score"]

_API = dict.fromkeys(("Run", "compare", "gate", "load", "open", "run", "score"), "api")
_attribute = lazily(__name__, _API)


def __getattr__(name: str) -> Any:
    """Import the API on first use, so that `import ldmbench` stays light."""
    return _attribute(name)


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
