"""Metrics of the user's own: what their arguments ask for, read from the source, nothing run."""

from __future__ import annotations

from pathlib import Path

from ldmbench.errors import InputError
from ldmbench.plugin_files import arguments
from ldmbench.registry import nearest

ARGUMENTS = {
    "images": ("generated", "images"),
    "features": ("generated", "features"),
    "logits": ("generated", "features"),
    "reference_images": ("reference", "images"),
    "reference_features": ("reference", "features"),
    "reference_logits": ("reference", "features"),
}
"""Argument of a metric -> of what side it is, and what it is read from."""


def metric_arguments(name: str, folder: Path) -> tuple[str, ...]:
    """Return the arguments of a metric that the program fills in.

    Raises:
        InputError: there is no such metric, or it asks for what is not there.
    """
    found = arguments(name, folder, "metrics")
    unknown = [argument for argument in found.required if argument not in ARGUMENTS]
    if unknown:
        raise InputError(
            f"found '{name}' with the argument '{unknown[0]}'{nearest(unknown[0], ARGUMENTS)};"
            f" allowed: {', '.join(ARGUMENTS)}"
        )
    wanted = tuple(argument for argument in found.all if argument in ARGUMENTS)
    if not any(argument in ("images", "features", "logits") for argument in wanted):
        raise InputError(
            f"found '{name}', which has no argument for the samples; allowed arguments:"
            f" {', '.join(ARGUMENTS)}"
        )
    return wanted
