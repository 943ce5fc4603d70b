"""Every task, trained for twenty steps by a suite: sampled, scored, exported and loaded again."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from PIL import Image

from ldmbench.catalog.tasks import TASKS
from ldmbench.cli import outcome
from ldmbench.data.masks import to_paint
from ldmbench.data.shapes import render, split_indices
from ldmbench.errors import SuiteError
from ldmbench.models import load
from ldmbench.models.suite_model import SuiteModel
from ldmbench.models.tasks import Truth
from ldmbench.plan.build import build_plan
from ldmbench.records.runs import Runs
from ldmbench.sample import initial_noise
from ldmbench.schema.params import Sampling
from ldmbench.schema.signature import Signature
from ldmbench.suite.check import check_suite
from ldmbench.suite.load import load_suite

pytestmark = pytest.mark.slow
TRAINED = [name for name in TASKS if name not in ("none", "caption")]
SUITE = f"""
suite: tasks
data:
  shapes: {{kind: shapes, resolution: 32, objects: 2, train: 64, reference: 16}}
models:
  ldm:
    kind: ldm
    autoencoder: {{weights: shipped, f: 4}}
    denoiser: {{channels: 8, context_channels: 16, batch: 8, conditioning: [{", ".join(TRAINED)}]}}
    budget: {{steps: 20}}
  thick:
    kind: ldm
    autoencoder: {{f: 1}}
    denoiser: {{channels: 8, batch: 8, conditioning: inpainting, mask: thick}}
    budget: {{steps: 20}}
  bicubic:
    kind: call
    target: "ldmbench.models.baselines:Bicubic"
    conditioning: truth
    task: superresolution
    quantize: round
  mean: {{kind: call, target: "ldmbench.models.baselines:MeanColour", conditioning: truth}}
  real: {{kind: call, target: "ldmbench.models.baselines:Real", conditioning: truth}}
sample: {{steps: 2, count: 16, micro_batch: 8}}
metrics: [fid, feature_distance, attribute_accuracy, layout_ap, layout_recall, miou]
probes: []
mlflow: {{enabled: false}}
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    suite, store = tiny.write_suite(folder, SUITE), folder / "store"
    assert outcome(["run", str(suite), "--store", str(store)]) == 0
    runs = Runs(store)
    records = runs.records(runs.find().id)
    return store, {
        r.cell.axes.get("denoiser.conditioning", r.cell.axes.get("conditioning", r.cell.model)): r
        for r in records
    }


def truth(count=8):
    batch = render(split_indices("validation", 0, count), resolution=32, objects=(1, 2))
    return Truth(indices=np.arange(count), **vars(batch))


def exported(store, record, folder):
    out = folder / "model"
    assert outcome(["export", record.cell.id, str(out), "--store", str(store)]) == 0
    return SuiteModel(load(out))


def images_of(store, record):
    return np.load(next((store / "samples").rglob(f"{record.keys['samples']}*/**/images.npy")))


def test_each_task_is_scored_by_what_it_means(finished):
    _, records = finished
    for name, record in records.items():
        assert record.status == "done", record.reason
        scores = {s.name: s for s in record.scores}
        asked = TASKS.get(record.cell.conditioning)
        if asked and asked.input == "class":
            assert {"fid", "attribute_accuracy"} <= set(scores)
            continue
        assert {"layout_ap", "layout_recall", "miou", "attribute_accuracy"} <= set(scores), name
        paired = {"truth_psnr", "truth_ssim", "truth_feature_distance"}
        assert (paired <= set(scores)) == (asked is None or asked.aims)
    real, mean = ({s.name: s for s in records[name].scores} for name in ("real", "mean"))
    assert real["truth_feature_distance"].value == 0
    assert real["layout_recall"].value > mean["layout_recall"].value
    assert "|iou:0.5" in real["layout_ap"].signature
    assert "|feat:segmenter-shapes-seg@" in real["miou"].signature


def test_known_pixels_of_inpainting_equal_the_input(finished):
    store, records = finished
    wanted = truth(16).images
    for name, mask in (("inpainting", "boxes"), ("thick", "thick")):
        known = to_paint(np.arange(16), 32, mask=mask) == 0
        found = images_of(store, records[name])[:16]
        assert (found[known] == wanted[known]).all()
        assert (found[~known] != wanted[~known]).any()
    assert records["thick"].cell.given == {"mask": "thick"}


def test_a_task_is_compared_with_its_baseline_if_both_state_their_rule_to_uint8(finished, capsys):
    store, records = finished
    names = "--metrics", "truth_feature_distance", "--store", str(store)
    quantised = {
        name: Signature.parse(records[name].scores[0].signature).fields["quant"]
        for name in ("superresolution", "bicubic", "mean")
    }
    assert quantised == {"superresolution": "round", "bicubic": "round", "mean": "None"}
    assert outcome(["compare", "*=superresolution*", "bicubic/*", *names]) in (0, 1, 3)
    assert "truth_feature_distance" in capsys.readouterr().out
    assert outcome(["compare", "*=inpainting*", "mean/*", *names]) == 2
    assert "write `quantize: round` (or truncate) into it" in capsys.readouterr().err


@pytest.mark.parametrize("task", TRAINED)
def test_permuted_conditions_change_samples_of_the_exported_model(task, finished, tmp_path):
    store, records = finished
    model, known = exported(store, records[task], tmp_path), truth()
    assert model.model.info.conditioning in TASKS[task].kinds
    params = Sampling(
        sampler="ddim", steps=2, eta=0.0, guidance=1.0, timesteps=None, precision="float32"
    )
    noise = initial_noise(range(8), seed=0, shape=model.shape)

    def drawn(order):
        shown = replace(known, indices=known.indices[order])
        parts = ("images", "labels", "boxes", "box_labels", "masks")
        shown = replace(shown, **{name: getattr(known, name)[order] for name in parts})
        cond = model.condition(captions=known.captions, labels=shown.labels, truth=shown)
        with torch.no_grad():
            return model.draw(noise, condition=cond, params=params, seeds=range(8))

    first = drawn(np.arange(8))
    assert (first != drawn(np.roll(np.arange(8), 1))).any(axis=(1, 2, 3)).all()
    sampled = images_of(store, records[task])[:8].astype(int)
    # the suite's samples are those of the exported model, up to rounding
    assert (np.abs(first.astype(int) - sampled) <= 1).mean() > 0.999


def refused(text, *sets):
    with pytest.raises(SuiteError) as caught:
        check_suite(load_suite(text, sets))
    return "\n".join(caught.value.problems)


def test_what_cannot_be_taught_is_refused_before_anything_trains(tmp_path):
    suite = tiny.write_suite(tmp_path, SUITE)
    said = refused(suite, "models.thick.denoiser.blur=1")
    assert "found blur, which is of conditioning image alone" in said
    said = refused(suite, "models.ldm.denoiser.scale=8", "data.shapes.resolution=36")
    assert "found 8, which does not divide the resolution 36" in said
    (tmp_path / "photos").mkdir()
    for i in range(4):
        Image.new("RGB", (32, 32), (i, i, i)).save(tmp_path / "photos" / f"{i}.png")
    data = "{kind: folder, path: photos, resolution: 32, reference: 1, validation: 1}"
    said = refused(suite, f"data.shapes={data}")
    assert "found layout, which needs boxes, but data.shapes has none" in said
    assert "found semantic, which needs masks, but data.shapes has none" in said
    assert "miou is defined on kind: shapes alone" in said


def test_fields_of_other_tasks_stay_out_of_keys(tmp_path):
    suite = tiny.write_suite(tmp_path, SUITE)

    def keys(*sets):
        cells = build_plan(load_suite(suite, sets)).cells
        return {c.model: c.stages["denoiser"] for c in cells}

    before, after = keys(), keys("models.thick.denoiser.mask=thin")
    assert [name for name in before if before[name] != after[name]] == ["thick"]
