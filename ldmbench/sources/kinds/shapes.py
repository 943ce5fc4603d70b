"""The embedded scenes: the names of what they show, and what they tell a model."""

from __future__ import annotations

from ldmbench.schema.data import DataFacts

__all__ = ["CLASSES", "COLOURS", "SHAPES", "shapes_facts"]

SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")
COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "white")
CLASSES = tuple(f"{colour} {shape}" for shape in SHAPES for colour in COLOURS)


def shapes_facts() -> DataFacts:
    """Return what the embedded scenes can tell: everything."""
    return DataFacts(classes=len(CLASSES), captions=True, boxes=True, masks=True)
