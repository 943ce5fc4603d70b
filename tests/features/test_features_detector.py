"""A DETR from disk: the boxes of transformers' own pipeline, COCO's AP, names, refusals."""

import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from PIL import Image
from transformers import (
    DetrConfig,
    DetrForObjectDetection,
    DetrImageProcessorPil,
    ResNetConfig,
    pipeline,
)

from ldmbench.cli import outcome
from ldmbench.errors import InputError, LdmbenchError
from ldmbench.features.detector import load_detector
from ldmbench.metrics.detections import Boxes, coco_ap, overlaps, recalled
from ldmbench.records.runs import Runs
from ldmbench.sources.judges import DETECTOR, twins

sys.path.insert(0, str(Path(__file__).parents[1]))
import named_sets

NAMES = ["N/A", "Person", "car", "bottle", "zebra"]
IOUS = np.arange(10) * 0.05 + 0.5
SUITE = """
suite: layouts
data:
  coco: {kind: coco, path: coco, regions: things, resolution: 32, crop: center, reference: 1,
         validation: 3}
models:
  real: {kind: call, target: "ldmbench.models.baselines:Real", conditioning: truth, task: layout}
detector: detr
sample: {count: 3, micro_batch: 3}
metrics: [layout_ap, layout_ap50, layout_recall]
probes: []
mlflow: {enabled: false}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with COCO in it, and a DETR of random weights."""
    place = tmp_path_factory.mktemp("detr")
    named_sets.coco(place / "coco")
    torch.manual_seed(0)
    backbone = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic",
        out_features=["stage2"],
    )  # fmt: skip
    config = DetrConfig(
        use_timm_backbone=False, use_pretrained_backbone=False, backbone=None,
        backbone_config=backbone, d_model=32, num_queries=10, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32,
        decoder_ffn_dim=32, id2label=dict(enumerate(NAMES)),
        label2id={name: i for i, name in enumerate(NAMES)},
    )  # fmt: skip
    network = DetrForObjectDetection(config).eval()
    torch.nn.init.normal_(network.class_labels_classifier.weight, std=1.0)
    network.save_pretrained(place / "detr")
    size = {"shortest_edge": 64, "longest_edge": 90}
    DetrImageProcessorPil(size=size).save_pretrained(place / "detr")
    return place


def images_of(count=3, sides=(48, 64)):
    return np.random.default_rng(0).integers(0, 256, (count, *sides, 3), np.uint8)


@pytest.mark.parametrize("sides", [(48, 64), (32, 32), (20, 60)])
def test_the_boxes_are_those_of_transformers(folder, sides):
    images = images_of(sides=sides)
    found = load_detector(folder / "detr").find(images)
    place = str(folder / "detr")
    processor = DetrImageProcessorPil.from_pretrained(place)
    theirs = pipeline("object-detection", model=place, image_processor=processor)
    for image, one in zip(images, found, strict=True):
        rows = theirs(Image.fromarray(image), threshold=0.0)
        assert len(rows) == len(one.scores) == 10
        for row, score, label, box in zip(rows, *one, strict=True):
            assert row["label"] == NAMES[label]
            assert row["score"] == pytest.approx(float(score), abs=1e-5)
            pixels = np.array([row["box"][k] for k in ("xmin", "ymin", "xmax", "ymax")])
            assert np.abs(box * np.array([*sides[::-1]] * 2) - pixels).max() < 1 + 1e-3


def one(asked, labels, found, found_labels, scores):
    return Boxes(
        np.array(asked, float).reshape(-1, 4),
        np.array(labels, np.int64),
        np.array(found, float).reshape(-1, 4),
        np.array(found_labels, np.int64),
        np.array(scores, float),
    )


def reference_ap(images, ious=IOUS):
    """COCO's AP by its definition, box by box."""
    values = []
    for label in {int(x) for image in images for x in image.asked_labels}:
        for least in ious:
            rows, asked = [], 0
            for image in images:
                boxes = [
                    b for b, k in zip(image.asked, image.asked_labels, strict=True) if k == label
                ]
                asked += len(boxes)
                mine = [k for k in range(len(image.scores)) if image.labels[k] == label]
                for k in sorted(mine, key=lambda k: -image.scores[k]):
                    shares = [overlaps(image.found[k][None], b[None])[0, 0] for b in boxes]
                    best = max(range(len(boxes)), key=lambda j: shares[j], default=None)
                    hit = best is not None and shares[best] >= least - 1e-9
                    if hit:
                        boxes.pop(best)
                    rows.append((image.scores[k], hit))
            rows.sort(key=lambda row: -row[0])
            hits = np.cumsum([hit for _, hit in rows])
            precision = hits / np.arange(1, len(rows) + 1)
            for recall in np.arange(101) / 100:
                there = precision[hits / asked >= recall - 1e-12] if rows else []
                values.append(max(there, default=0.0))
    return float(np.mean(values))


def test_average_precision_is_that_of_coco():
    rng = np.random.default_rng(0)
    images = []
    for _ in range(12):
        start = rng.uniform(0, 0.6, (4, 2))
        asked = np.concatenate([start, start + rng.uniform(0.1, 0.4, (4, 2))], 1)
        labels = rng.integers(0, 3, 4)
        found = np.concatenate([asked + rng.normal(0, 0.02, asked.shape), asked[:2] + 0.2])
        images.append(
            one(asked, labels, found, [*labels[:3], rng.integers(0, 3), 0, 1], rng.uniform(size=6))
        )
    found = coco_ap(images)
    assert found.value == pytest.approx(reference_ap(images), abs=1e-9)
    assert 0.1 < found.low < found.value < found.high < 1
    loose = coco_ap(images, ious=[0.5])
    assert loose.value == pytest.approx(reference_ap(images, [0.5]), abs=1e-9)
    assert loose.value > found.value
    assert found.n == 12


def test_each_box_is_recalled_once_by_its_class_above_the_threshold():
    box, other = [0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]
    asked = one([box, box, other], [1, 1, 2], [box, box, other], [1, 2, 2], [0.9, 0.8, 0.4])
    assert recalled(asked, iou=0.5, threshold=0.5) == 1
    assert recalled(asked, iou=0.5, threshold=0.3) == 2


planned = partial(tiny.planned, text=SUITE)


def judged(folder):
    """Plan a suite and load its detector, as a worker does."""
    planned(folder)
    load_detector(folder / "detr")


@pytest.mark.slow
def test_a_suite_judges_layouts_of_coco(folder, capsys):
    suite, store = tiny.write_suite(folder, SUITE), folder / "store"
    assert outcome(["run", str(suite), "--store", str(store)]) == 0
    assert "no label for 1 of 4 classes of data.coco, such as toothbrush" in capsys.readouterr().err
    runs = Runs(store)
    (record,) = runs.records(runs.find().id)
    scores = {s.name: s for s in record.scores}
    digest = DETECTOR.at("detr", folder).digest
    for name in ("layout_ap", "layout_ap50", "layout_recall"):
        score = scores[name]
        assert 0 <= score.value <= 1
        assert "|feat:detector-detr@" in score.signature
        assert ("|recalls:101" in score.signature) == (name != "layout_recall")
    assert "|iou:0.5-0.95|" in scores["layout_ap"].signature
    assert "|iou:0.5|recalls:101" in scores["layout_ap50"].signature
    assert "|iou:0.5|threshold:0.5" in scores["layout_recall"].signature
    stages = planned(folder).by_key()
    params = stages[record.keys["shapes-v1:scenes"]].params
    assert params.weights == (digest,)
    assert params.options["labels"] == [1, 2, 3, -1]
    assert str(folder) not in json.dumps(params.keyed())


def test_labels_are_matched_by_name():
    assert twins(["person", "Traffic  Light", "n/a", "x"], NAMES) == [1, -1, -1, -1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c | {"auto_map": {"AutoModel": "own.Net"}}, "class of its own code (auto_map)"),
        (
            lambda c: c | {"architectures": ["YolosForObjectDetection"]},
            "a YolosForObjectDetection;",
        ),
        (lambda c: c | {"id2label": None}, "has no id2label"),
        (lambda c: c | {"id2label": {str(i): f"LABEL_{i}" for i in range(5)}}, "none of the 4"),
        (lambda c: c | {"encoder_layers": 2}, "its weights have no model.encoder.layers.1"),
    ],
)
def test_a_detector_that_cannot_judge_is_refused(folder, tmp_path, change, said):
    (tmp_path / "coco").symlink_to(folder / "coco")
    (tmp_path / "detr").mkdir()
    for file in (folder / "detr").iterdir():
        (tmp_path / "detr" / file.name).write_bytes(file.read_bytes())
    place = tmp_path / "detr" / "config.json"
    place.write_text(json.dumps(change(json.loads(place.read_text()))))
    with pytest.raises(LdmbenchError) as error:
        judged(tmp_path)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (("detector=nowhere",), "detector: found 'nowhere', which is not there"),
        (("detector=coco",), "has no config.json, preprocessor_config.json, model.safetensors"),
        (
            ("metrics=[miou]",),
            "judges layout_ap, layout_ap50 and layout_recall, and metrics names none",
        ),
        (("detector=null",), "allowed too: detector: FOLDER"),
        (("data.coco.regions=map",), "does not name the classes of boxes"),
    ],
)
def test_what_a_suite_lacks_is_said(folder, sets, said):
    with pytest.raises(LdmbenchError) as error:
        planned(folder, *sets)
    assert said in str(error.value)


def test_a_detector_that_changed_is_refused(folder):
    with pytest.raises(InputError, match="has changed since the run was planned"):
        load_detector(folder / "detr", sha256="0" * 64)
