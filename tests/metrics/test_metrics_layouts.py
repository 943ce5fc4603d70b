import numpy as np
import pytest

from ldmbench.data.shapes import render, split_indices
from ldmbench.errors import InputError
from ldmbench.features.segmenter import load_segmenter
from ldmbench.metrics.attributes import attribute_accuracy
from ldmbench.metrics.layouts import Detection, Hits, Scene, detect, match, scenes_family
from ldmbench.metrics.layouts import _average_precision as average_precision
from ldmbench.metrics.maps import maps_family, mean_iou

COUNT = 48


def drawn(first=0, count=COUNT, resolution=64):
    batch = render(split_indices("validation", first, first + count), resolution=resolution)
    return batch.images, Scene(batch.boxes, batch.box_labels, batch.masks)


def scored(images, scene, **more):
    return scenes_family([(images, scene)], segmenter="shapes-seg", **more)


def test_the_truth_scores_near_one_and_shuffled_scenes_near_zero():
    images, scene = drawn()
    right, wrong = scored(images, scene), scored(np.roll(images, 1, axis=0), scene)
    assert right["layout_recall"].value > 0.9
    assert right["layout_ap"].value > 0.85
    assert right["miou"].value > 0.75
    assert right["pixel_accuracy"].value > 0.98  # background is most of an image
    assert right["layout_ap50"] is right["layout_ap"]
    for name in ("layout_ap", "layout_recall", "miou"):
        assert right[name].low > wrong[name].high
        assert wrong[name].value < 0.1
        assert right[name].n == COUNT


def test_other_resolutions_are_read_too():
    images, scene = drawn(count=16, resolution=32)
    assert scored(images, scene)["layout_recall"].value > 0.8
    images, scene = drawn(count=8, resolution=96)
    assert scored(images, scene)["layout_recall"].value > 0.8


def test_the_map_of_a_scene_has_the_class_of_each_object():
    _, scene = drawn(count=4)
    ids = scene.classes
    for row, mask, labels in zip(ids, scene.masks, scene.box_labels, strict=True):
        assert (row[mask == 0] == 0).all()
        for k, label in enumerate(labels):
            assert (row[mask == k + 1] == label + 1).all()


def test_a_detection_is_a_component_of_the_commonest_class():
    ids = np.zeros((20, 20), np.int64)
    ids[2:8, 2:8] = 5
    ids[3, 3] = 9  # a pixel that is read wrongly
    ids[12:18, 10:20] = 1
    ids[19, 0] = 7  # too small to be an object
    found = detect(ids, np.full(ids.shape, 0.5))
    assert [one.label for one in found] == [4, 0]
    assert found[0].box == (0.1, 0.1, 0.4, 0.4)
    assert found[0].score == pytest.approx(0.5 * 35 / 36)
    assert found[1].box == (0.5, 0.6, 1.0, 0.9)


def test_each_box_is_matched_once_by_its_class():
    box, far = (0.0, 0.0, 0.5, 0.5), (0.6, 0.6, 0.9, 0.9)
    found = [Detection(1, box, 0.4), Detection(1, box, 0.9), Detection(2, far, 0.8)]
    asked = np.array([box, far, (-1, -1, -1, -1)]), np.array([1, 3, -1])
    hits = match(found, *asked, iou=0.5)
    assert hits == Hits(2, (0.9, 0.8, 0.4), (True, False, False))
    shifted = [Detection(1, (0.25, 0.0, 0.75, 0.5), 1.0)]  # intersection over union 1 / 3
    assert match(shifted, *asked, iou=0.5).right == (False,)
    assert match(shifted, *asked, iou=0.3).right == (True,)


def test_average_precision_is_the_area_of_pascal_voc():
    """Three boxes; the surest three detections right, wrong, right: 1 / 3 + 2 / 3 / 3."""
    hits = [Hits(2, (0.9, 0.8), (True, False)), Hits(1, (0.7,), (True,))]
    assert average_precision(hits, 0.95).value == pytest.approx(1 / 3 + (2 / 3) / 3)


def test_mean_iou_is_of_sums_over_images():
    found = mean_iou(np.array([[3, 0, 0], [1, 2, 0]]), np.array([[4, 1, 0], [1, 4, 0]]))
    assert found.value == pytest.approx((4 / 5 + 2 / 5) / 2)


def test_accuracy_of_the_class():
    logits = np.eye(4)[[0, 1, 2, 3, 0, 0, 0, 0]]
    found = attribute_accuracy(logits, np.array([0, 1, 2, 3, 1, 1, 1, 1]))
    assert found.value == 0.5
    assert found.low < 0.5 < found.high
    with pytest.raises(ValueError, match="knows classes 0 to 3"):
        attribute_accuracy(logits, np.full(8, 4))


def test_the_segmenter_is_sure_of_what_it_reads():
    images, scene = drawn(count=8)
    ids, sure = load_segmenter().classes(images)
    assert ids.shape == sure.shape == scene.masks.shape
    assert (ids == scene.classes).mean() > 0.95
    assert 0.5 < sure.mean() <= 1.0


class Reader:
    """A segmenter that reads what it is built with."""

    def __init__(self, labels):
        self.labels = labels

    def read(self, images):
        return self.labels


def test_pixels_of_no_class_or_of_an_unknown_one_are_ignored():
    masks = np.array([[[1, 1], [2, 3]], [[0, 2], [2, 1]]], np.uint8)  # 0: none; classes 0, 1, 2
    labels = np.tile(np.arange(3), (2, 1))
    scene = Scene(np.zeros((2, 3, 4), np.float32), labels, masks)
    # Labels 0 and 1 are classes 1 and 0; label 2 is no class, and class 2 has no label.
    read = np.array([[[1, 0], [0, 0]], [[0, 0], [2, 1]]])
    found = maps_family([(masks[..., None], scene)], network=Reader(read), classes=[1, 0, -1])
    assert found["pixel_accuracy"].value == pytest.approx(4 / 6)
    assert found["miou"].value == pytest.approx(np.mean([2 / 3, 2 / 4]))
    assert found["miou"].n == 2
    with pytest.raises(InputError, match="no pixel of the maps is of a class"):
        maps_family([(masks[..., None], scene)], network=Reader(read), classes=[-1, -1, -1])
