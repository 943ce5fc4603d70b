"""What plans know of tasks: digests of text encoders, scores by task, the order of cells."""

from functools import partial

import pytest
import tiny

from ldmbench.cli import outcome
from ldmbench.errors import SuiteError
from ldmbench.suite.check import check_suite
from ldmbench.suite.load import load_suite

SUITE = """
suite: tasks
data:
  shapes: {kind: shapes, resolution: 32, train: 16, reference: 16}
models:
  ldm:
    kind: ldm
    autoencoder: {weights: shipped, f: 4}
    denoiser: {channels: 8, conditioning: [caption, layout, image, class]}
    budget: {steps: 2}
  real: {kind: call, target: "ldmbench.models.baselines:Real", conditioning: truth, task: layout}
sample: {steps: 2, count: 16}
metrics: [fid, clip_score, feature_distance, attribute_accuracy, layout_ap, miou]
mlflow: {enabled: false}
"""


planned = partial(tiny.planned, text=SUITE)


def denoiser(folder, *sets):
    cell = next(c for c in planned(folder, *sets).cells if c.conditioning == "caption")
    return cell.stages["denoiser"]


def test_scores_follow_the_task(tmp_path):
    found = {}
    for cell in planned(tmp_path).cells:
        roles = {role.name for role in cell.roles}
        found[cell.model] = roles & {"clip", "attributes", "scenes", "truth", "truth-feature_pairs"}
    truth = {"truth", "truth-feature_pairs"}
    assert found == {
        "ldm[conditioning=caption]": {"clip", "attributes"},
        "ldm[conditioning=layout]": {"attributes", "scenes"},
        "ldm[conditioning=image]": {"attributes", "scenes"} | truth,
        "ldm[conditioning=class]": {"attributes"},
        "real": {"attributes", "scenes"} | truth,
    }


@pytest.mark.parametrize("rule", ["null", "round", "truncate"])
def test_code_states_its_rule_to_uint8_and_the_suites_is_not_taken_for_it(tmp_path, rule):
    plan = planned(tmp_path, f"models.real.quantize={rule}", "sample.quantize=truncate")
    rules = {c.model: c.quantize for c in plan.cells}
    assert rules.pop("real") == (None if rule == "null" else rule)
    assert set(rules.values()) == {"truncate"}


def test_a_plan_shows_cells_by_task(tmp_path, capsys):
    suite = tiny.write_suite(tmp_path, SUITE)
    assert outcome(["plan", str(suite), "--store", str(tmp_path / "store")]) == 0
    lines = capsys.readouterr().out.splitlines()
    heads = [line for line in lines[:20] if line.endswith(":")]
    assert heads == ["Class:", "Text:", "Layout:", "Image to image:"]
    layout = lines.index("Layout:")
    assert lines[layout + 1].startswith("ldm[conditioning=layout]/")
    assert lines[layout + 2].startswith("real/")


def test_a_vocabulary_is_keyed_by_its_digest(tmp_path):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "circle"]
    keys = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vocab.txt").write_text("\n".join(words) + "\n")
        keys.append(denoiser(tmp_path, f"models.ldm.denoiser.vocabulary={name}/vocab.txt"))
    assert keys[0] == keys[1] != denoiser(tmp_path)
    (tmp_path / "two" / "vocab.txt").write_text("\n".join([*words, "star"]) + "\n")
    assert denoiser(tmp_path, "models.ldm.denoiser.vocabulary=two/vocab.txt") != keys[0]
    assert denoiser(tmp_path, "models.ldm.denoiser.vocabulary=open_clip") not in keys


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (("vocabulary=words.txt",), "found 'words.txt', which is no vocab.txt on disk"),
        (("text_encoder=./clip",), "which is not there"),
        (("vocabulary=open_clip", "text_encoder=./clip"), "leave one out"),
        (
            ("conditioning=caption", "caption_tokens=8"),
            "found caption_tokens, which a text encoder of hashed",
        ),
        (("conditioning=class", "mask=thin"), "found mask, which is of conditioning inpainting"),
    ],
)
def test_what_a_text_encoder_lacks_is_refused(sets, said, tmp_path):
    own = [f"models.ldm.denoiser.{one}" for one in sets]
    with pytest.raises(SuiteError, match=said):
        check_suite(load_suite(tiny.write_suite(tmp_path, SUITE), own))


def test_metrics_of_scenes_need_what_was_asked(tmp_path):
    suite = tiny.write_suite(tmp_path, SUITE)
    sets = ["models.ldm.denoiser.conditioning=class", "models.real.conditioning=none"]
    with pytest.raises(SuiteError, match="miou needs a model with conditioning layout or semantic"):
        check_suite(load_suite(suite, sets))
