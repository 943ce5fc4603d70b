"""Masks of LaMa follow its presets: how many, how wide, how much of the image."""

import numpy as np
import pytest

from ldmbench.data.masks import MASKS, to_paint

LAMA = ("thin", "medium", "thick")


@pytest.mark.parametrize("mask", MASKS)
def test_a_mask_depends_on_seed_and_index_alone(mask):
    one = to_paint(np.arange(4), 64, mask=mask)
    np.testing.assert_array_equal(to_paint(np.array([3, 1]), 64, mask=mask), one[[3, 1]])
    assert set(np.unique(one)) == {0, 1}


@pytest.mark.parametrize("side", [64, 256, 512])
@pytest.mark.parametrize("mask", LAMA)
def test_no_mask_covers_more_than_half(mask, side):
    found = to_paint(np.arange(24), side, mask=mask)
    area = found.mean(axis=(1, 2))
    assert 0 < area.min() <= area.max() <= 0.5


def rectangular(picture):
    """Tell whether each run of rows is filled as boxes are: few different rows."""
    return len(np.unique(picture, axis=0)) <= 2 * 5 + 1 + 5


def test_some_masks_are_boxes_but_no_thin_ones():
    boxes = {m: sum(map(rectangular, to_paint(np.arange(120), 64, mask=m))) for m in LAMA}
    assert boxes["thin"] == 0
    assert 10 <= boxes["thick"] <= 60  # 0.3 of 1.3 are 28


def test_thick_strokes_are_wider_than_thin_ones():
    def widest(mask):
        found = to_paint(np.arange(40), 256, mask=mask).astype(bool)
        depth = 0
        while found.any():
            found = found[:, 1:-1, 1:-1] & found[:, 2:, 1:-1] & found[:, :-2, 1:-1]
            found = found & np.roll(found, 1, 2) & np.roll(found, -1, 2)
            depth += 1
        return depth

    assert widest("thin") < widest("thick")
