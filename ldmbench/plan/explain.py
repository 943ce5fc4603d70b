"""Why a stage will run: which field of its recipe differs from the nearest in the store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ldmbench.schema.stage import Manifest, Stage


def explain(stage: Stage, stored: Iterable[Manifest]) -> str:
    """Return one sentence: the difference to the stored artefact with the most in common."""
    here = recipe(stage.version, stage.params, stage.inputs)
    best: list[str] | None = None
    for manifest in stored:
        there = recipe(manifest.version, manifest.params, manifest.inputs)
        found = differences(there, here)
        if best is None or len(found) < len(best):
            best = found
    if best is None:
        return f"no {stage.kind} in the store"
    if not best:
        return "the same recipe is there in part"
    shown = "; ".join(best[:3])
    more = f" and {len(best) - 3} more" if len(best) > 3 else ""
    return f"nearest in the store differs in {shown}{more}"


def recipe(version: int, params: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything a key is made of, flat: dotted name -> value."""
    flat = {"version": version, **_flat(params)}
    for role, item in inputs.items():
        flat[f"inputs.{role}"] = f"{item.key[:8]}" + (f" x {item.count}" if item.count else "")
    return flat


def _flat(value: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, part in value.items():
        if isinstance(part, Mapping):
            found |= _flat(part, f"{above}{name}.")
        else:
            found[f"{above}{name}"] = tuple(part) if isinstance(part, list) else part
    return found


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Return 'name: there -> here' for every field that differs."""
    names = dict.fromkeys([*here, *there])
    return [
        f"{name}: {there.get(name, 'absent')} -> {here.get(name, 'absent')}"
        for name in names
        if there.get(name) != here.get(name)
    ]
