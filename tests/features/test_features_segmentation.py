"""Segmenters from disk: the maps of transformers' own pipeline, names, suites, refusals."""

import json
import shutil
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
import transformers
from PIL import Image

from ldmbench.cli import outcome
from ldmbench.errors import InputError, LdmbenchError
from ldmbench.features.segmentation import load_map_segmenter
from ldmbench.records.runs import Runs
from ldmbench.sources.judges import SEGMENTER, classes_of_labels
from ldmbench.sources.kinds.map_names import ADE20K, COCO_STUFF

sys.path.insert(0, str(Path(__file__).parents[1]))
from named_sets import photo, write

NAMES = ["wall", "Building", "sky", "spaceship", "tree", "television receiver"]
LABELS = {"id2label": dict(enumerate(NAMES)), "label2id": {name: i for i, name in enumerate(NAMES)}}
SIDE = {"height": 64, "width": 64}
SUITE = """
suite: maps
data:
  ade: {kind: ade20k, path: ADEChallengeData2016, resolution: 32, crop: center, reference: 1}
models:
  real: {kind: call, target: "ldmbench.models.baselines:Real", conditioning: truth, task: semantic}
segmenter: segformer
sample: {count: 4, micro_batch: 4}
metrics: [miou, pixel_accuracy]
probes: []
mlflow: {enabled: false}
"""


def swin():
    return transformers.SwinConfig(
        image_size=64, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 1, 1], window_size=2,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip


def detr():
    return transformers.DetrConfig(
        use_timm_backbone=False, use_pretrained_backbone=False, backbone=None,
        backbone_config=transformers.ResNetConfig(), d_model=32, num_queries=5, encoder_layers=1,
        decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16,
        decoder_ffn_dim=16,
    )  # fmt: skip


def configs():
    """Return each class of segmenters: a small config of it, and how images are prepared."""
    t = transformers
    vit = {
        "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2,
        "intermediate_size": 16, "image_size": 64,
    }  # fmt: skip
    return {
        "SegformerForSemanticSegmentation": (
            t.SegformerConfig(
                hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1], num_attention_heads=[1, 1, 1, 1],
                decoder_hidden_size=8, **LABELS,
            ),
            t.SegformerImageProcessorPil(size=SIDE),
        ),
        "UperNetForSemanticSegmentation": (
            t.UperNetConfig(
                backbone_config=swin(), hidden_size=8, pool_scales=[1, 2], auxiliary_channels=8,
                auxiliary_in_channels=32, **LABELS,
            ),
            t.SegformerImageProcessorPil(size=SIDE),
        ),
        "BeitForSemanticSegmentation": (
            t.BeitConfig(
                patch_size=8, out_indices=[1, 2, 3, 4], pool_scales=[1, 2], auxiliary_channels=8,
                **vit, **LABELS,
            ),
            t.BeitImageProcessorPil(size=SIDE, crop_size=SIDE, do_center_crop=False),
        ),
        "DPTForSemanticSegmentation": (
            t.DPTConfig(
                patch_size=16, backbone_out_indices=[0, 1, 2, 3], fusion_hidden_size=8,
                neck_hidden_sizes=[8, 8, 8, 8], auxiliary_loss_weight=0.0, **vit, **LABELS,
            ),
            t.DPTImageProcessorPil(size=SIDE),
        ),
        "MaskFormerForInstanceSegmentation": (
            t.MaskFormerConfig(
                backbone_config=swin(), decoder_config=detr(), fpn_feature_size=32,
                mask_feature_size=32, **LABELS,
            ),
            t.MaskFormerImageProcessorPil(size=SIDE, size_divisor=32),
        ),
        "Mask2FormerForUniversalSegmentation": (
            t.Mask2FormerConfig(
                backbone_config=swin(), feature_size=32, mask_feature_size=32, hidden_dim=32,
                encoder_feedforward_dim=16, dim_feedforward=16, encoder_layers=1, decoder_layers=2,
                num_attention_heads=2, num_queries=5, **LABELS,
            ),
            t.Mask2FormerImageProcessorPil(size=SIDE, size_divisor=32),
        ),
    }  # fmt: skip


def written(name, place):
    """Write a segmenter of random weights; its own labels for several pixels of an image."""
    config, processor = configs()[name]
    torch.manual_seed(0)
    network = getattr(transformers, name)(config).eval()
    with torch.no_grad():
        for key, weight in network.named_parameters():
            if weight.dim() > 1:
                large = 4 if "class_pred" in key or "mask_embed" in key else 1
                weight.normal_(std=large / weight[0].numel() ** 0.5)
            elif "queries" in key or "query" in key:
                weight.normal_()
            elif key.endswith("bias"):
                weight.normal_(std=0.1)
    network.save_pretrained(place)
    processor.save_pretrained(place)
    return place


def ade20k(folder):
    """Write ADEChallengeData2016: maps of no class, wall, building and field."""
    for split, word in (("training", "train"), ("validation", "val")):
        for i in range(1, 7):
            name = f"{split}/ADE_{word}_{i:08d}"
            write(folder / f"images/{name}.jpg", photo(i, (48, 40), "jpg"))
            ids = np.zeros((40, 48), np.uint8)
            ids[:, 12:24], ids[:, 24:36], ids[:, 36:] = 1, 2, 30
            at = folder / f"annotations/{name}.png"
            at.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(ids).save(at)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with ADE20K in it, and a SegFormer of random weights."""
    place = tmp_path_factory.mktemp("maps")
    ade20k(place / "ADEChallengeData2016")
    written("SegformerForSemanticSegmentation", place / "segformer")
    return place


def images_of(count=3, sides=(40, 48)):
    return np.random.default_rng(0).integers(0, 256, (count, *sides, 3), np.uint8)


def test_every_class_of_segmenters_is_covered():
    assert {*configs()} == {*SEGMENTER.classes}


@pytest.mark.parametrize("name", [*SEGMENTER.classes])
def test_the_maps_are_those_of_transformers(name, tmp_path):
    place = written(name, tmp_path / "net")
    images = images_of()
    found = load_map_segmenter(place).read(images)
    assert found.shape == images.shape[:3]
    assert found.dtype == np.int64
    assert len(np.unique(found)) > 1
    processor = type(configs()[name][1]).from_pretrained(place)
    theirs = transformers.pipeline(
        "image-segmentation", model=str(place), image_processor=processor
    )
    for image, own in zip(images, found, strict=True):
        rows = theirs(Image.fromarray(image), subtask="semantic")
        same = sum(
            ((np.array(row["mask"]) == 255) & (own == NAMES.index(row["label"]))).sum()
            for row in rows
        )
        assert same / own.size > 0.995  # a batch of three and one alone round differently


planned = partial(tiny.planned, text=SUITE)


def judged(folder):
    """Plan a suite and load its segmenter, as a worker does."""
    planned(folder)
    load_map_segmenter(folder / "segformer")


@pytest.mark.slow
def test_a_suite_judges_maps_of_ade20k(folder, capsys):
    suite, store = tiny.write_suite(folder, SUITE), folder / "store"
    assert outcome(["run", str(suite), "--store", str(store)]) == 0
    said = capsys.readouterr().err
    assert "no label for 145 of 150 classes of data.ade, such as floor, flooring" in said
    assert "1 of 6 labels of the segmenter are no class of data.ade, such as spaceship" in said
    runs = Runs(store)
    (record,) = runs.records(runs.find().id)
    scores = {score.name: score for score in record.scores}
    assert any("no label for 145 of 150" in text for text in record.warnings)
    digest = SEGMENTER.at("segformer", folder).digest
    for score in (scores["miou"], scores["pixel_accuracy"]):
        assert 0 <= score.value <= 1
        assert "|feat:segmenter-segformer@" in score.signature
        assert "|classes:5of150" in score.signature
    # Of 32 columns of the middle square, a third is of no class or of one without a label.
    assert "2560 pixels" in scores["pixel_accuracy"].method
    stages = planned(folder).by_key()
    params = stages[record.keys["shapes-v1:scenes"]].params
    assert params.weights == (digest,)
    assert params.options["classes"] == [0, 1, 2, -1, 4, 89]
    assert str(folder) not in json.dumps(params.keyed())


def test_labels_are_matched_by_name():
    classes = ["sofa, couch", "screen door, screen", "screen, silver screen", "blind, screen"]
    labels = ["Couch ", "screen", "screen door, screen", "blind", "N/A", "sofa"]
    assert classes_of_labels(labels, classes) == [0, 2, 1, 3, -1, 0]
    firsts = [name.partition(",")[0] for name in ADE20K]
    assert classes_of_labels(firsts, ADE20K) == [*range(150)]
    assert classes_of_labels(ADE20K, ADE20K) == [*range(150)]
    assert classes_of_labels(COCO_STUFF, COCO_STUFF) == [*range(182)]
    assert (len({*COCO_STUFF}), COCO_STUFF[0], COCO_STUFF[181]) == (182, "person", "wood")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c | {"auto_map": {"AutoModel": "own.Net"}}, "class of its own code (auto_map)"),
        (
            lambda c: c | {"architectures": ["SegformerForImageClassification"]},
            "a SegformerForImageClassification; allowed: the folder of a Segformer",
        ),
        (lambda c: c | {"id2label": None}, "has no id2label"),
        (
            lambda c: c | {"id2label": {str(i): f"LABEL_{i}" for i in range(6)}},
            "segmenter: none of the 150 classes of data.ade (wall, building, edifice, sky, ...)",
        ),
        (lambda c: c | {"decoder_hidden_size": 9}, "cannot load this Segformer"),
    ],
)
def test_a_segmenter_that_cannot_judge_is_refused(folder, tmp_path, change, said):
    (tmp_path / "ADEChallengeData2016").symlink_to(folder / "ADEChallengeData2016")
    shutil.copytree(folder / "segformer", tmp_path / "segformer")
    place = tmp_path / "segformer/config.json"
    place.write_text(json.dumps(change(json.loads(place.read_text()))))
    with pytest.raises(LdmbenchError) as error:
        judged(tmp_path)
    assert said in str(error.value)


def test_a_processor_of_another_network_is_refused(folder, tmp_path):
    shutil.copytree(folder / "segformer", tmp_path / "segformer")
    place = tmp_path / "segformer/preprocessor_config.json"
    found = json.loads(place.read_text())
    place.write_text(json.dumps(found | {"image_processor_type": "CLIPImageProcessor"}))
    with pytest.raises(InputError, match="names a CLIPImageProcessor; allowed for its network"):
        SEGMENTER.at("segformer", tmp_path)
    place.write_text(json.dumps(found | {"image_processor_type": "SegformerFeatureExtractor"}))
    assert SEGMENTER.at("segformer", tmp_path).processor == "Segformer"


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (("segmenter=nowhere",), "segmenter: found 'nowhere', which is not there"),
        (("metrics=[fid]",), "judges miou and pixel_accuracy, and metrics names none of them"),
        (("segmenter=null",), "allowed too: segmenter: FOLDER"),
        (("metrics=[miou, layout_ap]",), "allowed too: detector: FOLDER"),
        (("detector=segformer", "metrics=[layout_ap]"), "a SegformerForSemanticSegmentation"),
    ],
)
def test_what_a_suite_lacks_is_said(folder, sets, said):
    with pytest.raises(LdmbenchError) as error:
        planned(folder, *sets)
    assert said in str(error.value)


def test_a_segmenter_that_changed_is_refused(folder):
    with pytest.raises(InputError, match="has changed since the run was planned"):
        load_map_segmenter(folder / "segformer", sha256="0" * 64)
