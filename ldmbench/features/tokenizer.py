"""The word tokenizer of shapes-clip: one token per word of the captions, made from shapes alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ldmbench.sources.tokens import CONTEXT, WORDS, words_of

__all__ = ["WordTokenizer"]

_ROW = {word: row for row, word in enumerate(WORDS)}


class WordTokenizer:
    """Turns captions into rows of WORDS.

    Unknown words become <unknown>; captions longer than the context lose their end.
    """

    def __call__(self, captions: Sequence[str]) -> torch.Tensor:
        """Return int64 (N, CONTEXT): <start>, words, <end>, then <pad>."""
        rows = torch.zeros(len(captions), CONTEXT, dtype=torch.int64)
        unknown = _ROW["<unknown>"]
        for row, caption in zip(rows, captions):
            words = [_ROW.get(w, unknown) for w in words_of(caption)]
            words = [_ROW["<start>"], *words[: CONTEXT - 2], _ROW["<end>"]]
            row[: len(words)] = torch.tensor(words)
        return rows
