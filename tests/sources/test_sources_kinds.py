"""A kind of dataset is a class with the methods of `Source`; all else follows from its listing."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from ldmbench.canonical import digest_file, stamp_of
from ldmbench.data.images import read_images
from ldmbench.errors import InputError
from ldmbench.sources.images.conditions import conditions_of
from ldmbench.sources.images.planned import planned_images
from ldmbench.sources.images.source import ImageFile, Listing
from ldmbench.sources.images.splits import count_split, shard_images
from ldmbench.sources.kinds import OPENERS, open_source
from ldmbench.sources.kinds.folder import FolderSource

KEPT = {"reference": 3, "validation": 2}


@dataclass(frozen=True)
class Rows:
    """Images of one .npy, whose classes take turns."""

    path: Path

    def listing(self):
        count = len(np.load(self.path, mmap_mode="r"))
        names = [f"{i:04d}" for i in range(count)]
        files = (ImageFile(n, self.path, int(n) % 2, caption=f"row {n}", at=n) for n in names)
        return Listing(tuple(files))

    def digest(self, cache):
        return digest_file(self.path)

    def check(self, cache, *, resolution, crop, upscale):
        if np.load(self.path, mmap_mode="r").shape[1] < resolution and not upscale:
            raise InputError(f"{self.path}: images smaller than {resolution}")

    def inspect(self):
        raise NotImplementedError

    def regions(self, files):
        return iter(())

    def states(self, files):
        return {"": stamp_of(self.path.stat())}

    def captions(self, files):
        return tuple(file.caption or "" for file in files)

    def pictures(self, files):
        rows = np.load(self.path)
        yield from (rows[int(file.at)] for file in files)


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A source of ten rows, of a kind that a table row adds."""
    pixels = np.arange(10, dtype=np.uint8)[:, None, None, None] * np.ones((1, 16, 16, 3), np.uint8)
    np.save(tmp_path / "rows.npy", pixels)
    monkeypatch.setitem(OPENERS, "rows", lambda path, options: Rows(path))
    return open_source("rows", tmp_path / "rows.npy", {})


def test_splits_conditions_and_batches_follow_from_a_listing(source):
    assert [count_split(source, s, **KEPT) for s in ("train", "reference", "validation")] == [
        5,
        3,
        2,
    ]
    told = conditions_of(source, **KEPT, train=5, prompts=2)
    assert (told.trained, told.captioned, told.all_classes, len(told.prompts)) == (5, 5, 2, 2)
    files = shard_images(source.listing().files, "train", (0, 5), mixed=True, **KEPT)
    batch = read_images(source, files, resolution=16, crop="none", resize="area")
    assert [int(image[0, 0, 0]) for image in batch.images] == [int(file.name) for file in files]
    assert batch.captions == tuple(f"row {file.name}" for file in files)


def test_a_source_that_changed_after_it_was_planned_is_refused(source):
    planned = planned_images(source, source.digest(None))
    np.save(source.path, np.zeros((12, 16, 16, 3), np.uint8))
    with pytest.raises(InputError, match=r"rows\.npy has changed since"):
        planned.check(planned.files[:1])


def test_a_folder_is_opened_with_the_options_of_its_noun(tmp_path):
    assert open_source("folder", tmp_path, {"labels": "name"}) == FolderSource(tmp_path, "name")
    assert open_source("folder", tmp_path, {}) == FolderSource(tmp_path)
