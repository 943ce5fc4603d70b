"""Data that cannot tell a model what it is to be told: refused by one rule, or counted and said."""

import json

import numpy as np
import pytest
from PIL import Image

from ldmbench.errors import SuiteError
from ldmbench.plan.build import build_plan
from ldmbench.plan.conditions import _class_cautions
from ldmbench.records.cautions import cautions_of
from ldmbench.schema.data import ImageConditions
from ldmbench.suite.check import check_suite
from ldmbench.suite.load import load_suite

SUITE = """
suite: told
data:
  d: {kind: folder, path: %s, resolution: 16, reference: 6, validation: 4}
models:
  ldm:
    autoencoder: {f: 1}
    denoiser: {channels: 8, conditioning: caption}
    budget: {steps: 2}
sample: {steps: 2, count: 16}
metrics: [fid, clip_score]
probes: []
"""
NONE = "models.ldm.denoiser.conditioning=none"
CLASS = ["models.ldm.denoiser.conditioning=class", "metrics=[fid]"]


def folder(where, names, text=None):
    """Write images of these names, and a caption beside each that `text` has one for."""
    for i, name in enumerate(names):
        file = where / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (i, 2 * i, 3 * i)).save(file)
        caption = text(i) if text else None
        if caption is not None:
            file.with_suffix(".txt").write_text(caption)
    return where


def plan_of(tmp_path, source, *sets):
    file = tmp_path / "suite.yaml"
    file.write_text(SUITE % source)
    loaded = load_suite(file, sets)
    check_suite(loaded)
    return build_plan(loaded)


def refused(tmp_path, source, *sets):
    with pytest.raises(SuiteError) as caught:
        plan_of(tmp_path, source, *sets)
    return "\n".join(caught.value.problems)


def cautions(tmp_path, source, *sets):
    plan = plan_of(tmp_path, source, *sets)
    return "\n".join(cautions_of(plan.cells[0], plan))


FLAT = [f"{i:02d}" for i in range(20)]
CLASSES = [f"{'ab'[i % 2]}/{i:02d}" for i in range(20)]


def star(i):
    return f"a small red star on the left, on a black background, {i}"


@pytest.mark.parametrize(
    ("names", "text", "found"),
    [
        (FLAT, None, "has no captions; allowed: none, or captions"),
        (CLASSES, None, "has no captions; allowed: none, class, or captions"),
        (FLAT, lambda i: "", "has no caption, or an empty one, for 4 of the 4 validation"),
        (FLAT, lambda i: " \n" if i % 2 else star(i), "for 1 of the 4 validation images"),
        (
            [f"train/{i}" for i in range(12)] + [f"validation/{i}" for i in range(4)],
            lambda i: star(i) if i > 11 else None,
            "has no caption for any of 6 training images",
        ),
        (
            [f"train/{i}" for i in range(12)] + [f"validation/{i}" for i in range(4)],
            lambda i: star(i) if i < 12 else None,
            "for 4 of the 4 validation images",
        ),
    ],
)
def test_captions_that_are_not_there(tmp_path, names, text, found):
    source = folder(tmp_path / "d", names, text)
    said = refused(tmp_path, source)
    assert "models.ldm.denoiser.conditioning: found caption, but data.d" in said
    assert found in said
    assert len(said.splitlines()) == 1
    plan_of(tmp_path, source, NONE, "metrics=[fid]")


def test_captions_without_a_letter_are_said(tmp_path):
    boxes = folder(tmp_path / "d", FLAT, lambda i: f"0 0.{i} 0.5 1 1")
    assert "have no letter in them, such as '0 0." in cautions(tmp_path, boxes)


def test_an_npz_has_no_captions_and_the_default_is_named(tmp_path):
    np.savez(tmp_path / "d.npz", np.zeros((20, 16, 16, 3), np.uint8))
    said = refused(tmp_path, tmp_path / "d.npz", "models.ldm.denoiser={channels: 8}")
    assert "found caption (the default), but data.d has no captions" in said
    assert "an npz has no captions" in said
    said = refused(tmp_path, tmp_path / "d.npz", "data.d.kind=npz", *CLASS)
    assert "has one class" in said
    assert "arr_1 of the npz" in said


def test_what_a_combination_leaves_out_is_not_asked_for(tmp_path):
    source = folder(tmp_path / "d", FLAT)
    both = "models.ldm.denoiser.conditioning=[none,caption]"
    assert "has no captions" in refused(tmp_path, source, both)
    assert plan_of(tmp_path, source, both, "exclude=['*caption*']").cells


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (FLAT, "has one class; allowed: none, or data of several classes"),
        ([f"train/a/{i}" for i in range(12)] + [f"validation/b/{i}" for i in range(4)],
         "has one class"),
        ([f"train/{'ab'[i % 2]}/{i}" for i in range(12)] + [f"validation/{i}" for i in range(4)],
         "has no class for 4 of its 4 validation images"),
        ([f"{'ab'[i % 2]}/{i}" for i in range(20)] + ["loose"], "its 11 training images"),
    ],
)  # fmt: skip
def test_classes_that_are_not_there(tmp_path, names, found):
    said = refused(tmp_path, folder(tmp_path / "d", names), *CLASS)
    assert "models.ldm.denoiser.conditioning: found class, but data.d" in said
    assert found in said


def test_code_of_ones_own_is_asked_the_same(tmp_path):
    (tmp_path / "mine.py").write_text("def model(*a, **k): ...\n")
    for told, found in (("caption", "has no captions"), ("class", "has one class")):
        own = f"models.ldm={{kind: call, target: 'mine:model', conditioning: {told}}}"
        said = refused(tmp_path, folder(tmp_path / "d", FLAT), own, "metrics=[fid]")
        assert f"models.ldm.conditioning: found {told}, but data.d {found}" in said


def test_without_validation_images_nothing_prompts_samples(tmp_path):
    source = folder(tmp_path / "d", FLAT, star)
    said = refused(tmp_path, source, "data.d.validation=0")
    assert "data.d.validation: found no validation image" in said
    plan_of(tmp_path, source, "data.d.validation=0", NONE, "metrics=[fid]")


def test_captions_that_say_less_than_they_seem_are_counted(tmp_path):
    whole = folder(tmp_path / "whole", FLAT, star)
    assert "shapes-clip does not know" not in cautions(tmp_path, whole)
    part = folder(
        tmp_path / "part",
        [f"train/{i}" for i in range(12)] + [f"validation/{i}" for i in range(4)],
        lambda i: None if i % 4 == 1 and i < 12 else "a dog and a red cat",
    )
    said = cautions(tmp_path, part)
    # 6 of the 12 are the reference
    assert "of 6 training images of data.d have no caption" in said
    assert "are the same text" in said
    assert "shapes-clip does not know 50 % of the words of the 4 captions" in said
    long = folder(tmp_path / "long", FLAT, lambda i: "a man walks his old dog " * 7 + str(i))
    said = cautions(tmp_path, long)
    assert "; 4 contain no word that it knows: the CLIP score" in said
    assert "4 of the 4 captions of data.d that prompt samples are longer than the 31 words" in said
    assert "are longer than the 34 words and commas that shapes-clip reads" in said


def test_cut_captions_of_a_released_clip_are_a_lower_bound(tmp_path):
    source = folder(tmp_path / "d", FLAT, lambda i: "x " * 80)
    said = cautions(tmp_path, source, "protocol={base: shapes-v1, clip: clip-vit-b-32}")
    assert "at least 4 of the 4 captions" in said
    assert "does not know" not in said


def test_classes_that_one_split_alone_has_are_counted(tmp_path):
    names = [f"train/{'abc'[i % 3]}/{i}" for i in range(18)]
    names += [f"validation/{'ab'[i % 2]}/{i}" for i in range(4)]
    said = cautions(tmp_path, folder(tmp_path / "d", names), *CLASS)
    assert "1 of 3 classes of training images of data.d have no validation image" in said
    assert "without a training image" not in said
    drawn = "protocol={base: shapes-v1, classes: balanced}"
    loose = folder(tmp_path / "loose", [*names[:18], "validation/0"])
    assert "has no class for 1 of its 1" in refused(tmp_path, loose, *CLASS)
    plan_of(tmp_path, loose, *CLASS, drawn)
    nothing = {"captioned": 0, "classless": 0, "prompts": ()}
    few = ImageConditions(trained=2, classes=(0, 1), held_out=(0, 2, 2), all_classes=4, **nothing)
    lost, strange = _class_cautions(few, "d", draws=False)
    assert lost.startswith("1 of 2 classes of training images of d have no validation image")
    assert strange.startswith("2 of 3 validation images of d are of classes without a training")
    (unseen,) = _class_cautions(few, "d", draws=True)
    assert unseen.startswith("2 of 4 classes of d, which the protocol draws samples of")


def test_what_is_left_out_of_a_folder_is_said(tmp_path):
    source = folder(tmp_path / "d", FLAT, star)
    (source / "lost.txt").write_text("of no image")
    assert "data.d: " in cautions(tmp_path, source)


def test_a_model_that_is_told_no_caption_says_why_it_has_no_clip_score(tmp_path):
    source = folder(tmp_path / "d", FLAT, star)
    plan = plan_of(tmp_path, source, "models.ldm.denoiser.conditioning=[none,caption]")
    said = ["clip_score has no value" in "\n".join(cautions_of(cell, plan)) for cell in plan.cells]
    assert said == [True, False]


def test_embedded_evaluators_are_of_shapes(tmp_path):
    said = cautions(tmp_path, folder(tmp_path / "d", FLAT, star))
    for name in ("shapes-net", "shapes-clip"):
        assert f"{name} was trained on the data `shapes` alone" in said
    plan = plan_of(tmp_path, "nowhere", "data.d={kind: shapes, resolution: 16, reference: 32}")
    assert "was trained on" not in "\n".join(cautions_of(plan.cells[0], plan))


def test_plan_shows_the_cautions_and_the_sizes_of_splits(tmp_path, capsys):
    from ldmbench.cli import outcome

    source = folder(tmp_path / "d", FLAT, star)
    (tmp_path / "suite.yaml").write_text(SUITE % source)
    call = ["plan", str(tmp_path / "suite.yaml"), "--store", str(tmp_path / "store")]
    assert outcome([*call, "--set", "data.d.train=5"]) == 0
    out, err = capsys.readouterr()
    assert "5          4  6 of reference" in out
    assert "6 images of data.d, more than the 5 that models train on" in err
    assert outcome([*call, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    sides = {"shapes-v1": {"split": "reference", "count": 6}}
    assert found["data"]["d"] == {"train": 10, "validation": 4, "references": sides}
    assert any("shapes-net was trained on" in text for text in found["warnings"])
