"""Tokenizers of captions: of shapes-clip, a token per word; of SigLIP 2, from its file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from ldmbench.errors import InputError
from ldmbench.sources.tokens import CONTEXT, WORDS, words_of
from ldmbench.words import first_line

__all__ = ["FileTokenizer", "WordTokenizer"]

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


class FileTokenizer:
    """Tokenizer of SigLIP 2 (arXiv:2502.14786) from its tokenizer.json.

    Captions are lower-cased, without punctuation, as open_clip cleans them; the last token is
    <eos>, also of a caption that is cut, and <pad> fills the row.

    Raises:
        InputError: if the file is no tokenizer, or has no <eos> or <pad>.
    """

    def __init__(self, path: Path, length: int = 64) -> None:
        from transformers import PreTrainedTokenizerFast  # seconds that images need not wait

        try:
            self._words = PreTrainedTokenizerFast(tokenizer_file=str(path))
        except Exception as error:  # the library raises Exception itself
            raise InputError(f"{path} is no tokenizer.json ({first_line(error)})") from error
        known = self._words.get_vocab()
        if not {"<eos>", "<pad>"} <= known.keys():
            raise InputError(
                f"{path} has no <eos> or no <pad>; it is not SigLIP 2's tokenizer.json"
            )
        self._end, self._pad, self.length = known["<eos>"], known["<pad>"], length

    def __call__(self, captions: Sequence[str]) -> torch.Tensor:
        """Return int64 (N, length)."""
        from open_clip.tokenizer import get_clean_fn

        clean = get_clean_fn("canonicalize")
        rows = torch.full((len(captions), self.length), self._pad, dtype=torch.int64)
        found = self._words([clean(c) for c in captions], add_special_tokens=False).input_ids
        for row, words in zip(rows, found, strict=True):
            ids = torch.tensor([*words[: self.length - 1], self._end])
            row[: len(ids)] = ids
        return rows
