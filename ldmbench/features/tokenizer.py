"""The word tokenizer of shapes-clip: one token per word of the captions, made from shapes alone."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch

__all__ = ["CONTEXT", "WORDS", "WordTokenizer"]

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
"""The vocabulary; a token is a row, and <end> is the highest, where open_clip pools."""

_ROW = {word: row for row, word in enumerate(WORDS)}
_SPLIT = re.compile(r"[a-z]+|,")


class WordTokenizer:
    """Turns captions into rows of WORDS.

    Unknown words become <unknown>; captions longer than the context lose their end.
    """

    def __call__(self, captions: Sequence[str]) -> torch.Tensor:
        """Return int64 (N, CONTEXT): <start>, words, <end>, then <pad>."""
        rows = torch.zeros(len(captions), CONTEXT, dtype=torch.int64)
        unknown = _ROW["<unknown>"]
        for row, caption in zip(rows, captions):
            words = [_ROW.get(w, unknown) for w in _SPLIT.findall(caption.lower())]
            words = [_ROW["<start>"], *words[: CONTEXT - 2], _ROW["<end>"]]
            row[: len(words)] = torch.tensor(words)
        return rows
