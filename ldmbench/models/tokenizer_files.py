"""Tokenizers of prompt-conditioned models: given, or found beside a checkpoint when asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from ldmbench.errors import InputError
from ldmbench.schema.models import OPEN_CLIP

__all__ = [
    "bert_tokenizer",
    "clip_tokenizer",
    "encoder_tokenizer",
    "vocabulary_tokenizer",
]


def bert_tokenizer(given: object, *, beside: Path | None) -> Callable[[], Any]:
    """Return a function that finds the tokenizer of a BERT-conditioned model when first asked.

    Args:
        given: a tokenizer, a folder or vocab.txt of one, or None.
        beside: folder of the checkpoint; `tokenizer/` or `vocab.txt` there is taken.
    """
    return _later(given, beside, "bert-base-uncased", _read_bert)


def clip_tokenizer(given: object, *, beside: Path | None) -> Callable[[], Any]:
    """Return the same for CLIP's tokenizer: a folder with vocab.json and merges.txt."""
    return _later(given, beside, "clip-vit-large-patch14", _read_clip)


@cache
def encoder_tokenizer(folder: Path) -> Any:
    """Return the tokenizer of a text encoder of transformers."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


@cache
def vocabulary_tokenizer(place: str) -> Any:
    """Return the tokenizer of a vocabulary: open_clip's byte pairs, or a WordPiece vocab.txt.

    open_clip's are read from the file that its wheel ships, as transformers' CLIPTokenizer.

    Args:
        place: "open_clip", or the path of a vocab.txt.

    Raises:
        InputError: there is no such file.
    """
    if place != OPEN_CLIP:
        return _read_bert(Path(place))
    from open_clip.tokenizer import SimpleTokenizer
    from transformers import CLIPTokenizer

    read = SimpleTokenizer()
    words = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocab = {words.get(word, word): number for word, number in read.encoder.items()}
    return CLIPTokenizer(vocab=vocab, merges=list(read.bpe_ranks))


def _later(
    given: object, beside: Path | None, name: str, read: Callable[[Path], object]
) -> Callable[[], Any]:
    found: list[object] = []

    def get() -> Any:
        if not found:
            found.append(_find_tokenizer(given, beside, name, read))
        return found[0]

    return get


def _find_tokenizer(
    given: object, beside: Path | None, name: str, read: Callable[[Path], object]
) -> Any:
    if given is not None and not isinstance(given, str | Path):
        return given
    places = [Path(given)] if given is not None else []
    if given is None and beside is not None:
        places = [beside / "tokenizer", beside / "vocab.txt"]
    for place in places:
        if place.exists():
            return read(place)
    raise InputError(
        f"the model's prompts need the tokenizer of {name}, looked for in "
        f"{', '.join(str(p) for p in places) or 'no place'}; give load(..., tokenizer=FOLDER), "
        "or token ids as cond"
    )


def _read_bert(place: Path) -> Any:
    from transformers import BertTokenizerFast

    folder = place if place.is_dir() else place.parent
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt")):
        raise InputError(f"{folder} holds neither tokenizer.json nor vocab.txt")
    if _is_clip(folder):
        return _read_clip(folder)
    return BertTokenizerFast.from_pretrained(folder, local_files_only=True)


def _is_clip(folder: Path) -> bool:
    """Tell whether a tokenizer is CLIP's, by which a model trained here may read captions."""
    config = folder / "tokenizer_config.json"
    if not config.is_file():
        return False
    named = json.loads(config.read_text("utf-8")).get("tokenizer_class")
    return str(named).startswith("CLIPTokenizer")


def _read_clip(place: Path) -> Any:
    from transformers import CLIPTokenizer

    if not place.is_dir():
        raise InputError(f"{place} is not a folder with vocab.json and merges.txt")
    return CLIPTokenizer.from_pretrained(place, local_files_only=True)
