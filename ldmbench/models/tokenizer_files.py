"""Tokenizers of prompt-conditioned models: given, or found beside a checkpoint when asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ldmbench.errors import InputError

__all__ = ["bert_tokenizer", "clip_tokenizer"]


def bert_tokenizer(given: Any, *, beside: Path | None) -> Callable[[], Any]:
    """Return a function that finds the tokenizer of a BERT-conditioned model when first asked.

    Args:
        given: a tokenizer, a folder or vocab.txt of one, or None.
        beside: folder of the checkpoint; `tokenizer/` or `vocab.txt` there is taken.
    """
    return _later(given, beside, "bert-base-uncased", _read_bert)


def clip_tokenizer(given: Any, *, beside: Path | None) -> Callable[[], Any]:
    """Return the same for CLIP's tokenizer: a folder with vocab.json and merges.txt."""
    return _later(given, beside, "clip-vit-large-patch14", _read_clip)


def _later(
    given: Any, beside: Path | None, name: str, read: Callable[[Path], Any]
) -> Callable[[], Any]:
    found: list[Any] = []

    def get() -> Any:
        if not found:
            found.append(_find_tokenizer(given, beside, name, read))
        return found[0]

    return get


def _find_tokenizer(given: Any, beside: Path | None, name: str, read: Callable[[Path], Any]) -> Any:
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
    return BertTokenizerFast.from_pretrained(folder, local_files_only=True)


def _read_clip(place: Path) -> Any:
    from transformers import CLIPTokenizer

    if not place.is_dir():
        raise InputError(f"{place} is not a folder with vocab.json and merges.txt")
    return CLIPTokenizer.from_pretrained(place, local_files_only=True)
