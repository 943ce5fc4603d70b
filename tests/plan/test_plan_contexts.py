"""Contexts of frozen text encoders in plans: what shares them, and when there are too many."""

import json
from functools import partial

import pytest
import tiny
from written_texts import write_encoder

from ldmbench.cli import outcome
from ldmbench.errors import SuiteError
from ldmbench.plan import contexts
from ldmbench.plan.contexts import described
from ldmbench.plan.estimate import stage_cost
from ldmbench.suite.check import check_suite
from ldmbench.suite.load import load_suite

SUITE = """
suite: texts
data:
  shapes: {kind: shapes, resolution: 16, train: 300, reference: 32}
models:
  small:
    autoencoder: {f: 1}
    denoiser: {channels: [8, 16], conditioning: caption, text_encoder: ./bert, caption_tokens: 12}
    budget: {steps: 3}
  hashed:
    autoencoder: {f: 1}
    denoiser: {channels: 8, conditioning: caption}
    budget: {steps: 3}
sample: {steps: [2, 3], count: 16, micro_batch: 8}
metrics: [fid]
mlflow: {enabled: false}
"""
SIZE = 300 * 12 * 16 * 4


@pytest.fixture
def folder(tmp_path):
    write_encoder("bert", tmp_path / "bert")
    return tmp_path


planned = partial(tiny.planned, text=SUITE)


def kinds(plan, kind):
    return [stage for stage in plan.stages if stage.kind == kind]


def test_all_that_read_by_one_encoder_share_its_contexts(folder):
    plan = planned(folder)
    train, prompts = kinds(plan, "contexts")
    assert (train.count, prompts.count) == (300, 16)
    for cell in plan.cells:
        stages = plan.by_key()
        denoiser, samples = (stages[cell.stages[kind]] for kind in ("denoiser", "samples"))
        own = cell.model != "hashed"
        assert ("contexts" in denoiser.inputs) is ("contexts" in samples.inputs) is own
        if own:
            assert denoiser.inputs["contexts"].key == train.key
            assert samples.inputs["contexts"].key == prompts.key
    cost = stage_cost(train, plan.by_key())
    assert cost.bytes == SIZE
    assert cost.flops == 300 * 2 * 12 * (folder / "bert" / "model.safetensors").stat().st_size / 4


def test_what_is_asked_of_an_encoder_is_in_the_key_and_its_path_is_not(folder):
    [before, _] = kinds(planned(folder), "contexts")
    (folder / "bert").rename(folder / "other")
    moved = "models.small.denoiser.text_encoder=./other"
    assert kinds(planned(folder, moved), "contexts")[0].key == before.key
    fewer = kinds(planned(folder, moved, "models.small.denoiser.caption_tokens=11"), "contexts")
    assert fewer[0].key != before.key
    (folder / "other" / "vocab.txt").write_text("[PAD]\n")
    assert kinds(planned(folder, moved), "contexts")[0].key != before.key


def test_too_many_bytes_are_encoded_in_each_batch(folder, monkeypatch, capsys):
    monkeypatch.setattr(contexts, "KEPT_BYTES", SIZE)
    assert len(kinds(planned(folder), "contexts")) == 2
    monkeypatch.setattr(contexts, "KEPT_BYTES", SIZE - 1)
    plan = planned(folder)
    assert not kinds(plan, "contexts")
    assert all("contexts" not in stage.inputs for stage in plan.stages)
    denoiser = next(s for s in kinds(plan, "denoiser") if s.params.section.text_encoder)
    size = (folder / "bert" / "model.safetensors").stat().st_size
    less = denoiser.model_copy(update={"local": denoiser.local.model_copy(update={"bytes": 0})})
    more = stage_cost(denoiser, plan.by_key()).flops - stage_cost(less, plan.by_key()).flops
    images = 3 * denoiser.params.section.batch
    assert more == pytest.approx(images * 2 * 12 * size / 4)
    assert "each batch is encoded anew in training" in described(plan)["small[channels=8]"]
    suite = str(folder / "tiny.yaml")
    assert outcome(["plan", suite, "--store", str(folder / "store")]) == 0
    assert "text encoder of small[channels=8]: contexts of 300 captions" in capsys.readouterr().out


def test_a_plan_says_what_contexts_take(folder, capsys):
    suite = str(tiny.write_suite(folder, SUITE))
    assert outcome(["plan", suite, "--store", str(folder / "store"), "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    [row] = [row for row in table["stages"] if row["kind"] == "contexts"]
    assert (row["missing"], row["bytes"]) == (3, SIZE + 16 * 12 * 16 * 4)
    assert set(table["contexts"]) == {"small[channels=8]", "small[channels=16]"}
    assert "12 x 16 each" in table["contexts"]["small[channels=8]"]


def test_more_tokens_than_an_encoder_reads_are_refused(folder):
    write_encoder("clip", folder / "clip")  # of 16 places
    own = "models.small.denoiser.text_encoder=./clip"
    asked = "models.small.denoiser.caption_tokens=17"
    with pytest.raises(SuiteError, match=r"found 17, but text_encoder './clip' reads 16 tokens"):
        check_suite(load_suite(tiny.write_suite(folder, SUITE), [own, asked]))


@pytest.mark.parametrize(
    ("encoder", "said"),
    [
        ("./nowhere", "found './nowhere', which is not there"),
        ("nobody/nothing", "'nobody/nothing' is no path here, and this is offline"),
        ("./bare", "there is no tokenizer in"),
    ],
)
def test_an_encoder_that_is_not_there_is_one_sentence(encoder, said, folder, monkeypatch, capsys):
    monkeypatch.setenv("LDMBENCH_OFFLINE", "1")
    (folder / "bert").rename(folder / "bare")
    for name in ("tokenizer.json", "vocab.txt"):
        (folder / "bare" / name).unlink(missing_ok=True)
    text = SUITE.replace("./bert", encoder)
    suite = str(tiny.write_suite(folder, text))
    assert outcome(["run", suite, "--store", str(folder / "store")]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert said in lines[0]
    assert "models.small.denoiser.text_encoder" in lines[0]
    assert not (folder / "store" / "dataset").exists()


def test_other_tasks_beside_captions_have_no_text_encoder(folder):
    both = "models.small.denoiser.conditioning=[caption, class]"
    plan = planned(folder, both)
    for stage in kinds(plan, "denoiser"):
        section = stage.params.section
        assert (section.text_encoder is not None) is ("contexts" in stage.inputs)
        assert section.conditioning == "caption" or section.text_encoder is None
