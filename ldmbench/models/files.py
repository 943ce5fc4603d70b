"""Folders of weights: diffusers' own files plus ldmbench.json, read without executing code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

from ldmbench.canonical import canonical_json
from ldmbench.errors import InputError

__all__ = ["API_VERSION", "CARD", "blank", "kept_at", "read_card", "seeded", "write_card"]

M = TypeVar("M")

CARD = "ldmbench.json"
API_VERSION = 1


def seeded(build: Callable[[], M], seed: int) -> M:
    """Call `build` with torch's CPU generator at `seed`, and leave the generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return build()


def blank(build: Callable[[], M]) -> M:
    """Call `build` on the meta device: shapes without memory, arithmetic or randomness."""
    with torch.device("meta"):
        return build()


def write_card(folder: Path, kind: str, **facts: object) -> None:
    """Write ldmbench.json, which says what the folder holds."""
    folder.mkdir(parents=True, exist_ok=True)
    card = {"api_version": API_VERSION, "kind": kind, **facts}
    (folder / CARD).write_text(canonical_json(card) + "\n", encoding="utf-8")


def read_card(folder: Path, kind: str) -> dict[str, Any]:
    """Read ldmbench.json.

    Raises:
        InputError: if it is missing, of another kind, or of a newer version.
    """
    path = folder / CARD
    try:
        card: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); give a folder of a {kind}") from error
    if card.get("kind") != kind:
        raise InputError(f"{path} holds a {card.get('kind')}, needed is a {kind}")
    if card.get("api_version") != API_VERSION:
        raise InputError(
            f"{path} has version {card.get('api_version')}, this ldmbench reads {API_VERSION}; "
            "use the ldmbench that wrote it"
        )
    return card


def kept_at(share: float) -> str:
    """Return the folder name of weights kept at a share of the budget: at-0.50, at-0.125."""
    return f"at-{share:.2f}" if round(share, 2) == share else f"at-{share:g}"
