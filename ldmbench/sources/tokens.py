"""What text encoders read of captions: the words of shapes-clip, and where each cuts; no torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["CONTEXT", "GROUPS", "WORDS", "Reading", "read", "words_of"]

CONTEXT = 36

# fmt: off
GROUPS: tuple[tuple[str, ...], ...] = (
    ("circle", "square", "triangle", "star", "cross", "ring"),
    ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "white"),
    ("small", "large"),
    ("top", "center", "bottom"),
    ("left", "right"),
    ("black", "gray", "brown"),
)
# fmt: on
WORDS: tuple[str, ...] = (
    "<pad>",
    "<unknown>",
    ",",
    "a",
    "at",
    "background",
    "in",
    "on",
    "the",
    *(word for group in GROUPS for word in group),
    "<start>",
    "<end>",
)
"""The vocabulary of shapes-clip: a token is a row; <end>, where open_clip pools, is the highest."""

_SPLIT = re.compile(r"[a-z]+|,")
_ANY_WORD = re.compile(r"[^\W\d_]+")
_TELLING = frozenset(word for group in GROUPS for word in group)
_PIECE = re.compile(r"[^\W\d_]+|\d|[^\w\s]+|_+")
"""What CLIP's byte-pair encoding never joins: each piece is one token or more."""
_RELEASED = 77


@dataclass(frozen=True)
class Reading:
    """How much of some captions a text encoder takes in.

    Attributes:
        captions: how many.
        words: of all captions.
        unknown: of these words, those that the encoder has no token for.
        blank: captions of which it knows no word that tells what is in the image.
        cut: captions whose end it does not read.
        most: pieces of a caption that it reads.
        exact: whether `cut` is all of them; else they are those that are surely cut.
    """

    captions: int
    words: int
    unknown: int
    blank: int
    cut: int
    most: int
    exact: bool


def words_of(caption: str) -> list[str]:
    """Return the words and commas of a caption as shapes-clip is handed them."""
    return _SPLIT.findall(caption.lower())


def read(captions: Sequence[str], extractor: str) -> Reading:
    """Return what the text encoder of an extractor takes in of captions."""
    if extractor != "shapes-clip":
        most = _RELEASED - 2
        cut = sum(len(_PIECE.findall(text)) > most for text in captions)
        return Reading(len(captions), 0, 0, 0, cut, most, exact=False)
    most = CONTEXT - 2
    words = [_ANY_WORD.findall(text.lower()) for text in captions]
    return Reading(
        captions=len(captions),
        words=sum(map(len, words)),
        unknown=sum(word not in WORDS for each in words for word in each),
        blank=sum(_TELLING.isdisjoint(each) for each in words),
        cut=sum(len(words_of(text)) > most for text in captions),
        most=most,
        exact=True,
    )
