"""The captions of images: in files of their own, or from a file that holds many."""

from __future__ import annotations

from collections.abc import Sequence

from ldmbench.sources.images.members import contents, suffix_of
from ldmbench.sources.images.rows import lines_of, text_of
from ldmbench.sources.images.source import ImageFile

__all__ = ["read_captions"]


def read_captions(files: Sequence[ImageFile]) -> tuple[str, ...] | None:
    """Return the caption of each image, "" where it has none, or None if no image has one.

    Raises:
        InputError: if a caption file cannot be read as UTF-8.
    """
    if not any(f.text or f.caption is not None for f in files):
        return None
    texts = dict(contents((f.source, f.text) for f in files if f.text))
    return tuple(
        _text(texts[f.source, f.text], f.text, f"{f.source}/{f.text}")
        if f.text
        else f.caption or ""
        for f in files
    )


def _text(data: bytes, name: str, where: str) -> str:
    """Return the caption in a file: all of a .txt, the first line of a .caption, as kohya does."""
    text = text_of(data, where)
    if suffix_of(name) == ".caption":
        text = next((line for _, line in lines_of(text)), "")
    return " ".join(text.split())
