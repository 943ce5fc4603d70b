"""Batches on disk and reading across shards."""

import errno
import pickle
import resource

import numpy as np
import pytest

from ldmbench.canonical import digest_file
from ldmbench.data.batch import Batch
from ldmbench.data.shapes import render, split_indices
from ldmbench.data.shards import ArrayShards, ImageShards, read_batch, write_array, write_batch
from ldmbench.errors import InputError, StoreError


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Images 20 to 49 in shards of 8; the last holds 6."""
    root = tmp_path_factory.mktemp("shards")
    folders = []
    for start in range(20, 50, 8):
        folders.append(root / f"{start}")
        batch = render(split_indices("train", start, min(start + 8, 50)), resolution=16)
        write_batch(folders[-1], batch)
        write_array(folders[-1] / "latents.npy", batch.images.astype("<f4").transpose(0, 3, 1, 2))
    return folders


def test_a_batch_comes_back(shards):
    batch, again = render(split_indices("train", 20, 28), resolution=16), read_batch(shards[0])
    for name in ("images", "labels", "boxes", "box_labels", "masks"):
        assert np.array_equal(getattr(batch, name), getattr(again, name))
        assert getattr(batch, name).dtype == getattr(again, name).dtype
    assert batch.captions == again.captions


def test_the_same_batch_gives_the_same_files(shards, tmp_path):
    write_batch(tmp_path, read_batch(shards[0]))
    for file in tmp_path.iterdir():
        assert digest_file(file) == digest_file(shards[0] / file.name)


def test_a_batch_without_boxes(tmp_path):
    batch = Batch(np.zeros((2, 4, 4, 3), np.uint8), ("ü", ""), np.array([1, 2]))
    write_batch(tmp_path / "new/folder", batch)
    again = read_batch(tmp_path / "new/folder")
    assert again.boxes is None
    assert again.captions == ("ü", "")


def test_more_shards_than_a_process_may_open_files(tmp_path):
    count, (soft, hard) = 300, resource.getrlimit(resource.RLIMIT_NOFILE)
    folders = [tmp_path / str(number) for number in range(count)]
    for number, folder in enumerate(folders):
        write_array(folder / "features.npy", np.full((2, 3), number, np.float32))
    view = ArrayShards(folders, "features.npy", start=0, stop=2 * count, first=0, size=2)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, soft), hard))
    try:
        assert np.array_equal(view.all()[:, 0], np.repeat(np.arange(count), 2))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_random_access_across_shards(shards):
    view = ImageShards(shards, start=23, stop=49, first=20, size=8)
    whole = render(split_indices("train", 23, 49), resolution=16)
    indices = np.array([25, 0, 4, 5, 5, 17, 13])
    assert len(view) == 26
    assert np.array_equal(view.images(indices), whole.images[indices])
    assert np.array_equal(view.labels(indices), whole.labels[indices])
    assert view.captions(indices) == tuple(whole.captions[i] for i in indices)
    assert view.images(indices[:0]).shape == (0, 16, 16, 3)
    assert view.captions(indices[:0]) == ()


def test_one_named_array(shards):
    view = ArrayShards(shards, "latents.npy", start=23, stop=49, first=20, size=8)
    images = render(split_indices("train", 23, 49), resolution=16).images
    assert np.array_equal(view.all(), images.transpose(0, 3, 1, 2))
    assert view.all().dtype == np.float32
    copy = pickle.loads(pickle.dumps(view))
    assert np.array_equal(copy.read(np.array([3])), view.read(np.array([3])))
    assert len(pickle.dumps(view)) < 5000


def test_what_is_not_covered_is_refused(shards):
    with pytest.raises(InputError, match="4 shards of 8 from 20 do not cover"):
        ImageShards(shards, start=19, stop=30, first=20, size=8)
    with pytest.raises(InputError, match="do not cover"):
        ArrayShards(shards, "latents.npy", start=20, stop=53, first=20, size=8)
    view = ImageShards(shards, start=20, stop=50, first=20, size=8)
    for indices in ([-1], [30]):
        with pytest.raises(InputError, match="0 to 29"):
            view.images(np.array(indices))
        with pytest.raises(InputError, match="0 to 29"):
            view.captions(np.array(indices))
    short = ImageShards(shards, start=20, stop=52, first=20, size=8)
    with pytest.raises(StoreError, match="has 6 rows, row 7 is needed"):
        short.images(np.array([31]))


def test_damaged_shards_are_named(shards, tmp_path):
    write_batch(tmp_path / "a", read_batch(shards[0]))
    file = tmp_path / "a/images.npy"
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(StoreError, match=r"images\.npy: cannot be read"):
        ImageShards([tmp_path / "a"], start=0, stop=8, first=0, size=8).images(np.array([0]))
    write_array(file, np.zeros((8, 2, 2, 3), np.uint8))
    mixed = ImageShards([shards[0], tmp_path / "a"], start=0, stop=16, first=0, size=8)
    with pytest.raises(StoreError, match="other shards have uint8"):
        mixed.images(np.array([0, 9]))
    np.save(file, np.array([None]), allow_pickle=True)
    with pytest.raises(StoreError, match="cannot be read"):
        read_batch(tmp_path / "a")
    (tmp_path / "a/captions.json").write_text("[1]")
    with pytest.raises(StoreError, match=r"captions\.json: cannot be read"):
        mixed.captions(np.array([9]))


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        write_array(tmp_path / "file/x.npy", np.zeros(3))


def test_a_full_disk_says_why_no_more_is_written(tmp_path):
    (tmp_path / "full.npy").symlink_to("/dev/full")
    with pytest.raises(
        StoreError, match=r"cannot be written \(No space left on device\)"
    ) as caught:
        write_array(tmp_path / "full.npy", np.zeros(9999))
    assert caught.value.__cause__.errno == errno.ENOSPC


def test_arrays_are_written_as_numpy_writes_them(tmp_path):
    for array in (np.arange(12.0).reshape(3, 4).T, np.zeros((0, 3), np.uint8), np.float32(3)):
        write_array(tmp_path / "a.npy", array)
        np.lib.format.write_array(
            (tmp_path / "b.npy").open("wb"), np.ascontiguousarray(array), version=(1, 0)
        )
        assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_a_batch_checks_its_parts():
    images = np.zeros((2, 4, 4, 3), np.uint8)
    with pytest.raises(InputError, match="1 captions"):
        Batch(images, ("a",), np.zeros(2, np.int64))
    with pytest.raises(InputError, match="uint8 images of shape"):
        Batch(images.astype(float), ("a", "b"), np.zeros(2, np.int64))
