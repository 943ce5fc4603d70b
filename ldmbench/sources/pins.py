"""Digests of files without a published one: pinned beside the file when it is imported by name."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from ldmbench.errors import InputError
from ldmbench.schema.weights import Pin

__all__ = ["read_pin", "write_pin"]


def read_pin(file: Path, name: str) -> Pin | None:
    """Return what was kept when a file of weights was imported; None: none was.

    Args:
        file: where it lies.
        name: of the weights.

    Raises:
        InputError: if what was kept cannot be read.
    """
    place = _place(file)
    if not place.is_file():
        return None
    try:
        return Pin.model_validate_json(place.read_bytes())
    except ValidationError as error:
        raise InputError(
            f"{place} is damaged; remove it, and run `ldmbench weights import {file} --as {name}`"
            " if that file is still the one you trust"
        ) from error


def write_pin(file: Path, sha256: str) -> None:
    """Keep the digest of a file that has just been imported, and the day."""
    today = datetime.now(UTC).date().isoformat()
    pin = Pin(sha256=sha256, bytes=file.stat().st_size, imported=today)
    partial = _place(file).with_suffix(".partial")
    partial.write_text(pin.model_dump_json(indent=1) + "\n", encoding="utf-8")
    partial.replace(_place(file))


def _place(file: Path) -> Path:
    return file.with_name("pinned.json")
