"""Lines: what a line of a figure joins, what it is called, and how it differs from others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ldmbench.catalog.samplers import SAMPLERS
from ldmbench.report.cells import IDENTITY, way
from ldmbench.report.points import Point
from ldmbench.report.theme import DASHES
from ldmbench.schema.signature import Signature

__all__ = ["Key", "Look", "lined", "longest", "look_of"]


@dataclass(frozen=True)
class Key:
    """A field of the points that marks tell apart: its title and its names, in order."""

    field: str
    title: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Look:
    """What colour tells, what shape and dash tell, and a sentence where that is not one thing."""

    colour: Key
    form: Key
    caption: str = ""


def lined(points: Sequence[Point], *along: str) -> list[Point]:
    """Name the line of every point: its model, and the fields in which its cells vary.

    Points whose scores were made in unlike ways are never on one line.

    Args:
        points: points with `series` and `identity`.
        along: fields that a line runs along, so that they part no lines.
    """
    values: dict[str, set[str]] = {}
    for p in points:
        for name, text in p["identity"].items():
            values.setdefault(name, set()).add(text)
    vary = [name for name, texts in values.items() if len(texts) > 1 and name not in along]
    named = [_named(p, vary) for p in points]
    groups: dict[tuple[str | None, str], list[Point]] = {}
    for p in named:
        groups.setdefault((p["dataset"], p["line"]), []).append(p)
    for alike in groups.values():
        unlike = _unlike({p["signature"] for p in alike if "signature" in p})
        for p in alike:
            shown = unlike.get(p.get("signature", ""), "")
            p["way"] = ", ".join(filter(None, [p["way"], shown]))
            p["line"] = ", ".join(filter(None, [p["line"], shown]))
    return named


def _named(p: Point, vary: Sequence[str]) -> Point:
    fields = {n: t for n, t in p["identity"].items() if n in vary}
    row = SAMPLERS.get(fields.get("sampler", ""))
    if row and row.noise != "eta" and fields.get("eta") == "0":
        del fields["eta"]
    owner = p.get("owner") or p["series"]
    line = ", ".join(filter(None, [owner, way(fields)]))
    shown = next(iter(fields.values())) if len(vary) == 1 else way(fields)  # the legend's title
    return {**p, "owner": owner, "way": shown, "line": line, "fields": tuple(fields)}


def _unlike(signatures: set[str]) -> dict[str, str]:
    """Return signature -> the fields in which it differs from the others, '' for a lone one."""
    fields = {text: Signature.parse(text).fields.items() for text in signatures}
    common = set.intersection(*map(set, fields.values())) if fields else set()
    return {
        text: ", ".join(f"{k} {v}" for k, v in own if (k, v) not in common)
        for text, own in fields.items()
    }


def longest(points: Sequence[Point], field: str) -> list[Point]:
    """Return the points at the largest value of a field that their line along it reaches."""
    lines = [(p["dataset"], p["line"]) for p in lined(points, field)]
    top: dict[tuple[str | None, str], float] = {}
    for own, p in zip(lines, points, strict=True):
        top[own] = max(p[field], top.get(own, p[field]))
    return [p for own, p in zip(lines, points, strict=True) if p[field] == top[own]]


def look_of(names: Sequence[str], points: Sequence[Point]) -> Look:
    """Decide what distinguishes lines.

    Each model has one line: colour, shape and dash together tell the model. One model has
    several: together they tell the ways in which it was sampled. Several models have several:
    colour tells the model, shape and dash the way; with more ways than dashes, every line has
    marks of its own.

    Args:
        names: all series of the run, in order, so that each has one colour in every figure.
        points: points with `line` and `way`.
    """
    owners = tuple(dict.fromkeys([*names, *(p["owner"] for p in points)]))
    model = Key("owner", "Model", owners)
    lines = {(p["owner"], p["way"]) for p in points}
    there = {owner for owner, _ in lines}
    if len(lines) == len(there):
        return Look(model, model)
    ways = tuple(dict.fromkeys(p["way"] for p in points))
    fields = dict.fromkeys(n for p in points for n in p["fields"])
    shown = ", ".join(_word(name) for name in fields) or "how the numbers were made"
    title = IDENTITY[next(iter(fields))] if len(fields) == 1 else "Settings"
    if len(there) == 1:
        key = Key("way", title, ways)
        return Look(key, key, f" All lines are of {next(iter(there))}; they differ in: {shown}.")
    if len(ways) <= len(DASHES):
        text = f" Colour tells the model; shape and dash tell: {shown}."
        return Look(model, Key("way", title, ways), text)
    key = Key("line", "Model", tuple(dict.fromkeys(p["line"] for p in points)))
    return Look(key, key, f" Lines of one model differ in: {shown}.")


def _word(field: str) -> str:
    heading = IDENTITY[field]
    return heading if heading == "η" else heading.lower()
