"""Boxes and maps follow the picture through its crop."""

import numpy as np
import pytest

from ldmbench.data.regions import fitted_regions, visible
from ldmbench.data.resize import CROPS, prepare
from ldmbench.sources.images.source import Regions

NO_BOX = {"boxes": np.empty((0, 4)), "labels": np.empty(0, np.int64)}


def fitted(regions, size, **more):
    return fitted_regions([regions], [size], resolution=8, **{"crop": "center", "most": 3, **more})


def test_boxes_are_cut_at_the_edges_and_small_remains_left_out():
    boxes = np.array([[0.25, 0.0, 0.5, 1.0], [0.0, 0.0, 0.3, 1.0], [0.5, 0.25, 1.0, 0.5]])
    found = fitted(Regions(boxes, np.array([4, 5, 6])), (100, 200))
    np.testing.assert_allclose(found.boxes[0], [[0, 0, 0.5, 1], [0.5, 0.25, 1, 0.5], [-1] * 4])
    assert found.labels.tolist() == [[4, 6, -1]]


def test_no_more_boxes_than_the_most():
    boxes = np.tile([0.0, 0.0, 1.0, 1.0], (5, 1))
    found = fitted(Regions(boxes, np.arange(5)), (8, 8))
    assert found.labels.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("crop", [name for name in CROPS if name != "none"])
@pytest.mark.parametrize("size", [(64, 64), (64, 96), (90, 64)])
def test_a_map_and_its_boxes_follow_the_picture(crop, size):
    rows, columns = np.meshgrid(*map(np.arange, size), indexing="ij")
    inside = (abs(rows - size[0] / 2) < 16) & (abs(columns - size[1] / 2) < 12)
    picture = np.where(inside, 255, 0).astype(np.uint8)[..., None].repeat(3, 2)
    seen = prepare(picture, 32, crop=crop, resize="pil-nearest")[..., 0] > 127
    y, x = np.nonzero(inside)
    box = np.array([[x.min(), y.min(), x.max() + 1, y.max() + 1]]) / np.tile(size[::-1], 2)
    one = {"resolution": 32, "crop": crop, "most": 2}
    map_ = fitted_regions([Regions(**NO_BOX, map=inside.astype(np.uint8) * 2)], [size], **one)
    boxes = fitted_regions([Regions(box, np.array([1]))], [size], **one)
    assert (map_.maps[0] == 2).mean() == pytest.approx(seen.mean(), abs=0.04)
    assert map_.labels.tolist() == [[-1, 1]]
    np.testing.assert_allclose(map_.boxes[0, 1], boxes.boxes[0, 0], atol=0.05)


def test_the_part_that_a_tighter_crop_leaves():
    assert visible("var", (256, 256), 256) == pytest.approx((1 / 18, 1 / 18, 17 / 18, 17 / 18))
    assert visible("squash", (10, 30), 8) == (0, 0, 1, 1)
