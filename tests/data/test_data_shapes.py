"""The embedded dataset: fixed bytes, true captions, disjoint splits."""

import time

import numpy as np
import pytest

from ldmbench.canonical import digest_bytes
from ldmbench.data import shapes
from ldmbench.data.scenes import UNIT
from ldmbench.data.shapes import (
    BACKGROUNDS,
    CLASSES,
    COLOURS,
    PLACES,
    SHAPES,
    SIZES,
    SPLIT_OFFSETS,
    VOCABULARY,
    caption_variants,
    render,
    scene,
    split_indices,
)
from ldmbench.errors import InputError

FEW = np.array([0, 1, 2, 3, 11, 49_999, (1 << 40) + 5, (1 << 41) + 7])

# Digests of what FEW looks like. If one moves, the dataset has changed: raise the version of the
# `dataset` stage and say so in the changelog.
GOLDEN = {
    (32, "plain"): "67b6ffffe437324a",
    (32, "fine"): "f6b0e1621f8152e8",
    (64, "plain"): "4ce8e4e0d4b108b8",
    (64, "fine"): "1c0a0d79086629ea",
}
GOLDEN_CAPTIONS = "10dc93cf0ef52b25"
GOLDEN_BOXES = "dbe8f13c1c8157a2"
GOLDEN_MASKS = "e044a0e276f6d927"


def _short(data):
    return digest_bytes(data)[:16]


@pytest.mark.parametrize(("resolution", "texture"), GOLDEN)
def test_images_are_the_same_bytes_everywhere(resolution, texture):
    batch = render(FEW, resolution=resolution, texture=texture)
    assert _short(batch.images.tobytes()) == GOLDEN[resolution, texture]


def test_captions_boxes_and_masks_are_the_same_everywhere():
    batch = render(FEW, resolution=64)
    assert _short("\n".join(batch.captions).encode()) == GOLDEN_CAPTIONS
    assert _short(batch.boxes.astype("<f4").tobytes()) == GOLDEN_BOXES
    assert _short(batch.masks.tobytes()) == GOLDEN_MASKS


def test_layout_and_dtypes():
    batch = render(FEW, resolution=48)
    assert (batch.images.shape, batch.images.dtype) == ((8, 48, 48, 3), np.uint8)
    assert (batch.labels.shape, batch.labels.dtype) == ((8,), np.int64)
    assert (batch.boxes.shape, batch.boxes.dtype) == ((8, 3, 4), np.float32)
    assert (batch.box_labels.shape, batch.box_labels.dtype) == ((8, 3), np.int64)
    assert (batch.masks.shape, batch.masks.dtype) == ((8, 48, 48), np.uint8)
    assert batch.images.flags.c_contiguous
    assert len(batch) == len(batch.captions) == 8


@pytest.mark.parametrize("chunk", [1, 5000, 1 << 22])
def test_an_image_does_not_depend_on_its_batch(monkeypatch, chunk):
    indices = split_indices("train", 0, 40)
    whole = render(indices, resolution=32, texture="fine")
    monkeypatch.setattr(shapes, "_CHUNK_PIXELS", chunk)
    again = render(indices[::-1], resolution=32, texture="fine")
    alone = render(indices[17:18], resolution=32, texture="fine")
    assert np.array_equal(whole.images, again.images[::-1])
    assert np.array_equal(whole.masks, again.masks[::-1])
    assert np.array_equal(whole.images[17], alone.images[0])


def test_a_scene_has_no_resolution():
    small, large = (render(FEW, resolution=r) for r in (32, 256))
    assert small.captions == large.captions
    assert np.array_equal(small.boxes, large.boxes)
    shrunk = large.images.reshape(8, 32, 8, 32, 8, 3).mean(axis=(2, 4))
    assert np.abs(shrunk - small.images).mean() < 6


def test_seeds_share_nothing():
    indices = split_indices("train", 0, 200)
    a, b = (render(indices, resolution=32, seed=s) for s in (0, 1))
    assert sum(x == y for x, y in zip(a.captions, b.captions)) < 5


def test_fine_texture_keeps_the_scene_and_adds_detail():
    indices = split_indices("train", 0, 64)
    plain, fine = (render(indices, resolution=64, texture=t) for t in ("plain", "fine"))
    assert plain.captions == fine.captions
    assert np.array_equal(plain.masks, fine.masks)
    detail = [np.abs(np.diff(b.images.astype(int), axis=2)).mean() for b in (plain, fine)]
    coarse = [b.images.reshape(64, 8, 8, 8, 8, 3).mean(axis=(2, 4)) for b in (plain, fine)]
    assert detail[1] > 1.5 * detail[0]
    assert np.abs(coarse[0] - coarse[1]).mean() < 2


def test_masks_boxes_and_colours_say_what_the_caption_says():
    batch = render(split_indices("train", 0, 300), resolution=128)
    found = scene(split_indices("train", 0, 300))
    palette = shapes._COLOUR_RGB.astype(int)
    for i, k in zip(*np.nonzero(found.shape >= 0)):
        rows, columns = np.nonzero(batch.masks[i] == k + 1)
        measured = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) / 128
        assert np.abs(measured - batch.boxes[i, k]).max() < 2.5 / 128
        colour = batch.images[i][rows, columns].mean(axis=0)
        assert np.abs(palette - colour).sum(axis=1).argmin() == found.colour[i, k]
        x, y = columns.mean() / 128, rows.mean() / 128
        assert 3 * int(3 * y) + int(3 * x) == found.place[i, k]
    assert ((batch.box_labels < 0) == (batch.boxes < 0).all(axis=2)).all()
    assert set(np.unique(batch.masks)) == {0, 1, 2, 3}


def test_no_object_touches_another_or_leaves_the_image():
    found = scene(split_indices("train", 0, 5000))
    for a, b in ((0, 1), (0, 2), (1, 2)):
        both = (found.shape[:, a] >= 0) & (found.shape[:, b] >= 0)
        apart = np.hypot(*(found.centre[both, a] - found.centre[both, b]).T)
        assert (apart > found.radius[both, a] + found.radius[both, b]).all()
    present = found.shape >= 0
    reach = found.radius[present][:, None]
    assert (found.centre[present] - reach).min() >= 0
    assert (found.centre[present] + reach).max() <= UNIT


def test_the_label_is_the_largest_object():
    batch = render(split_indices("train", 0, 300), resolution=32)
    found = scene(split_indices("train", 0, 300))
    assert (1.04 * found.radius[:, 1:] < found.radius[:, :1]).all()
    assert np.array_equal(batch.labels, batch.box_labels[:, 0])
    for caption, label in zip(batch.captions, batch.labels):
        assert caption.split(" ", 2)[2].startswith(CLASSES[label])


def test_every_attribute_occurs_about_as_often_as_it_should():
    found = scene(split_indices("train", 0, 20_000))
    present = found.shape >= 0
    even = (
        (found.shape[present], SHAPES),
        (found.colour[present], COLOURS),
        (found.count - 1, (1, 2, 3)),
        (found.label, CLASSES),
    )
    for values, table in even:
        share = np.bincount(values, minlength=len(table)) / len(values) * len(table)
        assert share.min() > 0.8
        assert share.max() < 1.2
    for values, table in (
        (found.place[present], PLACES),
        (found.size[present], SIZES),
        (found.background, BACKGROUNDS),
    ):
        assert (np.bincount(values, minlength=len(table)) / len(values)).min() > 0.06


def test_objects_range_is_kept():
    assert set(scene(np.arange(500), objects=(1, 1)).count) == {1}
    assert set(scene(np.arange(500), objects=(2, 3)).count) == {2, 3}


def test_words_are_the_vocabulary():
    batch = render(split_indices("train", 0, 3000), resolution=8)
    words = {w for c in batch.captions for w in c.replace(",", "").split()}
    assert words == set(VOCABULARY)
    assert list(VOCABULARY) == sorted(VOCABULARY)
    assert len(set(CLASSES)) == 48


@pytest.mark.parametrize("index", [0, 4, 5, 123_456, (1 << 41) + 3])
def test_variants_differ_by_exactly_one_attribute(index):
    true = render(np.array([index]), resolution=8).captions[0]
    variants = caption_variants(index, 0, 15)
    assert len(set(variants)) == 15
    assert true not in variants
    for variant in variants:
        ours, theirs = ([part.split() for part in c.split(", ")] for c in (true, variant))
        ((a, b),) = [(a, b) for a, b in zip(ours, theirs, strict=True) if a != b]
        if a[:4] == b[:4]:
            assert a[4:] != b[4:]
        else:
            assert a[4:] == b[4:]
            assert sum(x != y for x, y in zip(a[:4], b[:4], strict=True)) == 1


def test_variants_are_repeatable_and_bounded():
    assert caption_variants(7, 3, 4) == caption_variants(7, 3, 10)[:4]
    with pytest.raises(InputError, match=r"image 7 has .* ask for fewer"):
        caption_variants(7, 3, 10_000)


def test_splits_are_disjoint():
    parts = [set(split_indices(s, 0, 1000).tolist()) for s in SPLIT_OFFSETS]
    assert len(set.union(*parts)) == 3000
    with pytest.raises(InputError, match="did you mean 'train'"):
        split_indices("trian", 0, 1)
    with pytest.raises(InputError, match="not within a split"):
        split_indices("train", 0, (1 << 40) + 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"resolution": 4}, "8 to 1024"),
        ({"resolution": 32, "texture": "fin"}, "did you mean 'fine'"),
        ({"resolution": 32, "objects": (0, 3)}, "within 1 to 3"),
        ({"resolution": 32, "objects": (3, 2)}, "within 1 to 3"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        render(np.array([0]), **arguments)


def test_wrong_indices_are_named():
    with pytest.raises(InputError, match="negative"):
        scene(np.array([-1]))
    with pytest.raises(InputError, match="one row of integers"):
        scene(np.array([0.5]))


@pytest.mark.parametrize("resolution", [8, 9, 33, 100, 1024])
def test_any_resolution_and_no_images_at_all(resolution):
    batch = render(FEW[:2], resolution=resolution)
    assert batch.images.shape == (2, resolution, resolution, 3)
    assert len(render(FEW[:0], resolution=resolution)) == 0


def test_speed():
    """A loose floor for a busy machine; tests/bench/bench_shapes.py measures."""
    render(np.arange(128), resolution=64)
    clock = time.process_time()
    render(np.arange(512), resolution=64)
    assert 512 / (time.process_time() - clock) > 1000
