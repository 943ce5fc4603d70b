"""What a dataset can tell a model, found without reading a picture."""

from __future__ import annotations

from pathlib import Path

from ldmbench.schema.data import DataFacts
from ldmbench.sources.images.listing import classes_of, list_images

__all__ = ["folder_facts"]


def folder_facts(path: Path, labels: str = "folder") -> DataFacts:
    """Return what a folder, zip or npz of images can tell; arguments as `list_images`.

    Raises:
        InputError: there is no such source, or no image in it.
    """
    files = list_images(path, labels)
    return DataFacts(
        classes=classes_of(files),
        captions=any(f.text or f.caption is not None for f in files),
    )
