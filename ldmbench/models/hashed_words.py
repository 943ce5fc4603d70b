"""Captions -> token ids by hashing words: deterministic, without a vocabulary file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from ldmbench.canonical import digest_bytes
from ldmbench.schema.models import CAPTION_TOKENS
from ldmbench.schema.networks import HASHED_WORDS

__all__ = ["LENGTH", "TOKENS", "tokenize"]

TOKENS = HASHED_WORDS
LENGTH = CAPTION_TOKENS
_PAD, _END = 0, 1
_RESERVED = 2
# Of the salts tried in order, the first under which the words of `shapes` get different ids.
_SALT = "caption-0"


def tokenize(captions: Sequence[str]) -> Tensor:
    """Return int64 (N, LENGTH) ids: words, one end, then padding; longer captions are cut.

    A word is a run of letters and digits, case folded; it becomes 2 + hash(word) % (TOKENS - 2).
    The empty caption, which guidance uses, is the end alone.
    """
    rows = torch.full((len(captions), LENGTH), _PAD, dtype=torch.int64)
    for row, caption in zip(rows, captions):
        words = re.findall(r"[^\W_]+", caption.casefold())[: LENGTH - 1]
        ids = [*map(_word_id, words), _END]
        row[: len(ids)] = torch.tensor(ids)
    return rows


@lru_cache(maxsize=65536)
def _word_id(word: str) -> int:
    return _RESERVED + int(digest_bytes(f"{_SALT}:{word}".encode())[:15], 16) % (TOKENS - _RESERVED)
