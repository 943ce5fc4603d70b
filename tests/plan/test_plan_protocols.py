"""Plans follow the protocol where a suite leaves it open, and show what a suite sets over it."""

import pytest
from PIL import Image

from ldmbench.errors import InputError
from ldmbench.plan.build import build_plan
from ldmbench.records.cautions import cautions_of
from ldmbench.records.signature import signature
from ldmbench.store.disk import Store
from ldmbench.suite.load import load_suite

SUITE = """
suite: demo
data:
  shapes: {kind: shapes, resolution: 32, train: 640}
models:
  ldm:
    autoencoder: {f: 4}
    denoiser: {conditioning: class}
    budget: {steps: 5}
metrics: [fid, kid]
probes: [device_days]
"""


@pytest.fixture
def plan_of(tmp_path):
    file = tmp_path / "suite.yaml"
    file.write_text(SUITE)

    def build(*sets, text=None):
        if text:
            file.write_text(text)
        return build_plan(load_suite(file, sets))

    return build


def scores(plan, family, cell=0):
    """Return the scores stages of one family of a cell, by protocol."""
    stages = plan.by_key()
    return {
        role.protocol: stages[key]
        for role, key in plan.cells[cell].roles.items()
        if role.protocol and role.name == family
    }


def one(plan, kind, **params):
    return next(
        s
        for s in plan.stages
        if s.kind == kind and all(s.params.keyed().get(n) == v for n, v in params.items())
    )


def test_what_a_suite_leaves_open_is_the_protocols(plan_of):
    plan = plan_of("protocol=ldm-2112.10752")
    (cell,) = plan.cells
    assert (cell.count, cell.quantize, cell.timesteps) == (50_000, "truncate", "compvis")
    fid = scores(plan, "moments")["ldm-2112.10752"]
    assert fid.inputs["generated"].count == 50_000
    assert fid.inputs["reference"].count == 640  # the entire training set
    assert one(plan, "dataset", split="train").count == 640
    assert not [s for s in plan.stages if s.params.keyed().get("split") == "reference"]


def test_what_a_suite_sets_is_kept(plan_of):
    plan = plan_of(
        "protocol=ldm-2112.10752", "sample.count=64", "sample.quantize=round",
        "sample.timesteps=trailing", "data.shapes.reference=100",
    )  # fmt: skip
    (cell,) = plan.cells
    assert (cell.count, cell.quantize, cell.timesteps) == (64, "round", "trailing")
    fid = scores(plan, "moments")["ldm-2112.10752"]
    assert (fid.inputs["generated"].count, fid.inputs["reference"].count) == (64, 100)
    text = "\n".join(cautions_of(cell, plan))
    assert "has n = 50,000; this is n = 64" in text
    assert "asks for quantize truncate; these samples have round" in text
    assert "n = 64 samples for 2,048 features" in text


def test_an_override_shows_in_key_name_and_signature(plan_of, tmp_path):
    plan = plan_of(
        "protocol={base: shapes-v1, k: 5, rule: lt, timesteps: leading}", "metrics=[precision]",
        "sample.count=64",
    )  # fmt: skip
    ((name, stage),) = scores(plan, "neighbours").items()
    assert name == "shapes-v1[k=5,rule=lt,timesteps=leading]"
    shown = str(signature("precision", stage, plan.by_key(), Store(tmp_path), plan.protocols[0]))
    assert "|k:5|rule:lt" in shown
    assert "|steps:leading|" in shown
    plain = scores(plan_of("metrics=[precision]", "sample.count=64"), "neighbours")["shapes-v1"]
    assert plain.key != stage.key
    assert plain.inputs == stage.inputs  # the same samples, the same features


def test_several_protocols_score_the_same_samples(plan_of):
    plan = plan_of(
        "protocol=[shapes-v1, {base: shapes-v1, k: 5}, {base: shapes-v1, count: 100}]",
        "metrics=[precision]",
    )
    (cell,) = plan.cells
    found = scores(plan, "neighbours")
    assert list(found) == ["shapes-v1", "shapes-v1[k=5]", "shapes-v1[count=100]"]
    assert [s.inputs["generated"].count for s in found.values()] == [5000, 5000, 100]
    assert len({s.inputs["generated"].key for s in found.values()}) == 1
    assert cell.count == 5000


def test_neighbours_are_sought_among_the_images_a_protocol_says(plan_of):
    plan = plan_of("protocol={base: shapes-v1, neighbour_count: 50, reference_count: 200}")
    held = {f: s["shapes-v1[reference_count=200,neighbour_count=50]"].inputs["reference"].count
            for f, s in ((f, scores(plan, f)) for f in ("moments", "neighbours"))}  # fmt: skip
    assert held == {"moments": 200, "neighbours": 50}


def test_references_of_every_family_are_looked_at(plan_of, tmp_path):
    def told(*sets, text=None):
        plan = plan_of(*sets, text=text)
        return [
            text
            for text in cautions_of(plan.cells[0], plan)
            if "has m = " in text or "crops real" in text
        ]

    few = "has m = 10,000 real images for kid, precision, recall, density and coverage; this"
    for metrics in ("[kid, precision]", "[fid, recall]"):
        (text,) = told("protocol=adm-2105.05233", f"metrics={metrics}", "sample.count=64")
        assert text == f"adm-2105.05233 {few} is m = 640"
    more = ("protocol={base: shapes-v1, neighbour_count: 50, reference_count: 70}", "metrics=[kid]")
    assert told(*more) == []
    (text,) = told(*more, "data.shapes.reference=40")
    assert "m = 50 real images for kid" in text
    (text,) = told("protocol={base: shapes-v1, neighbour_count: 50, reference_count: 30}",
                   "metrics=[fid, kid]", "data.shapes.reference=40")  # fmt: skip
    assert text.endswith("has m = 30 real images; this is m = 40")
    images(tmp_path / "images")
    cropped = told("metrics=[kid]", "data.lsun-churches-256.crop=center", text=FOLDERS)
    assert any("crops real images by lsun; these are cropped by center" in t for t in cropped)


def test_classes_are_balanced_where_a_protocol_says_so(plan_of):
    plain, even = plan_of(), plan_of("protocol={base: shapes-v1, classes: balanced}")
    assert "classes" not in one(plain, "dataset", split="prompts").params.keyed()
    prompts = one(even, "dataset", split="prompts")
    assert prompts.params.keyed()["classes"] == "balanced"
    assert one(even, "samples").inputs["conditions"].key == prompts.key
    untold = plan_of(
        "protocol={base: shapes-v1, classes: balanced}", "models.ldm.denoiser.conditioning=caption"
    )
    assert "classes" not in one(untold, "dataset", split="prompts").params.keyed()


def test_random_classes_are_drawn_for_every_sample_seed_and_speed_is_measured_once(plan_of):
    def prompts(rule, seeds):
        plan = plan_of(f"protocol={{base: shapes-v1, classes: {rule}}}", f"sample.seed={seeds}",
                       "probes=[throughput]")  # fmt: skip
        assert len([s for s in plan.stages if s.kind == "speed"]) == 1
        stages = plan.by_key()
        told = [stages[c.stages["samples"]].inputs["conditions"].key for c in plan.cells]
        assert {stages[key].params.keyed()["classes"] for key in told} == {rule}
        return told, stages

    balanced, _ = prompts("balanced", "[0, 1, 2]")
    assert len(set(balanced)) == 1
    drawn, stages = prompts("random", "[0, 1, 2]")
    assert [stages[key].params.keyed().get("seed") for key in drawn] == [None, 1, 2]
    (alone,), _ = prompts("random", 0)
    (second,), _ = prompts("random", 2)
    assert [drawn[0], drawn[2]] == [alone, second]


def test_features_know_how_many_images_come(plan_of):
    plan = plan_of("sample.count=100", "data.shapes.reference=60")
    assert {s.local.expected for s in plan.stages if s.kind == "features"} == {160}
    assert plan_of("sample.count=100").stages[-1].key  # no part of any key
    few, many = (
        {s.key for s in plan_of(f"sample.count={n}").stages if s.kind == "features"}
        for n in (100, 200)
    )
    assert few == many


def test_sfid_keeps_spatial_features_and_nothing_else_changes(plan_of):
    plain, more = plan_of("metrics=[fid]"), plan_of("metrics=[fid, sfid]")
    assert all("spatial" not in s.params.keyed() for s in plain.stages if s.kind == "features")
    made = [s for s in more.stages if s.kind == "features"]
    assert made
    assert all(s.params.keyed()["spatial"] for s in made)
    (stage,) = scores(more, "spatial").values()
    assert set(stage.inputs) == {"generated", "reference"}


def test_lpips_is_of_reconstructions(plan_of):
    plan = plan_of("metrics=[fid, lpips]", "probes=[reconstruction]", "reconstruction_count=32")
    (stage,) = scores(plan, "lpips").values()
    assert {i.kind for i in stage.inputs.values()} == {"reconstructions", "dataset"}
    assert stage.params.keyed()["lpips"] == "alex"
    assert len(stage.params.keyed()["weights"]) == 2


FOLDERS = """
suite: demo
protocol: ldm-2112.10752
data:
  lsun-churches-256: {kind: folder, path: images, resolution: 32, validation: 2}
models:
  ldm:
    autoencoder: {f: 4}
    denoiser: {conditioning: none}
    budget: {steps: 5}
metrics: [fid]
probes: [device_days]
"""


def images(folder, count=12, width=40):
    folder.mkdir()
    for i in range(count):
        Image.new("RGB", (width, 32), (i, 2 * i, 3 * i)).save(folder / f"{i}.png")
        (folder / f"{i}.txt").write_text(f"a small star {i}")


def test_a_dataset_of_a_rules_name_is_sampled_and_prepared_by_it(plan_of, tmp_path):
    images(tmp_path / "images")
    plan = plan_of(text=FOLDERS)
    (cell,) = plan.cells
    assert cell.id.endswith("/ddim-200/g1/s0")
    source = one(plan, "dataset", split="train").params.keyed()["source"]
    assert (source["crop"], source["resize"]) == ("lsun", "pil-bicubic")
    fid = scores(plan, "moments")["ldm-2112.10752"]
    assert fid.inputs["reference"].count == 10  # all but the two of validation
    own = plan_of("sample.steps=20", "data.lsun-churches-256.crop=center", text=FOLDERS)
    assert own.cells[0].steps == 20
    assert one(own, "dataset", split="train").params.keyed()["source"]["crop"] == "center"
    text = "\n".join(cautions_of(own.cells[0], own))
    assert "crops real images by lsun; these are cropped by center" in text
    assert "samples lsun-churches-256 in 200 steps; this is 20" in text


@pytest.mark.parametrize(
    ("protocol", "crop"),
    [
        ("{base: coco-30k, crop: none}", "none"),
        ("{base: ldm-2112.10752, crop: none}", "none"),
        ("{base: clean-fid, crop: none}", "none"),
        ("{base: clean-fid, k: 5}", "center"),
        ("clean-fid", "center"),
    ],
)
def test_no_crop_is_meant_where_the_suite_says_it(plan_of, tmp_path, protocol, crop):
    images(tmp_path / "images", width=32 if crop == "none" else 40)
    plan = plan_of(f"protocol={protocol}", "data.lsun-churches-256.reference=3", text=FOLDERS)
    found = {s.params.keyed()["source"]["crop"] for s in plan.stages if s.kind == "dataset"}
    assert found == {crop}
    assert plan.protocols[0].name.endswith("[crop=none]") == (crop == "none")
    own = plan_of(
        f"protocol={protocol}", "data.lsun-churches-256.reference=3",
        "data.lsun-churches-256.crop=lsun", text=FOLDERS,
    )  # fmt: skip
    told = "crops real images by none; these are cropped by lsun"
    assert (told in "\n".join(cautions_of(own.cells[0], own))) == (crop == "none")


def test_a_part_of_a_reference_is_no_one_class(plan_of, tmp_path):
    images(tmp_path / "images")
    plan = plan_of("data.lsun-churches-256.reference=3", text=FOLDERS)
    reference = [
        s for s in plan.stages if s.params.keyed().get("source", {}).get("order") == "digest"
    ]
    assert [s.count for s in reference] == [3]
    train = [s for s in plan.stages if s.kind == "dataset" and s not in reference]
    assert all("order" not in s.params.keyed()["source"] for s in train)


def test_prompts_and_parts_of_a_folder_are_no_one_class(plan_of, tmp_path):
    images(tmp_path / "images")
    text = FOLDERS.replace("none", "caption").replace("ldm-2112.10752", "shapes-v1")
    whole = plan_of("data.lsun-churches-256.reference=3", text=text)
    assert one(whole, "dataset", split="prompts").params.keyed()["source"]["order"] == "digest"
    assert "order" not in one(whole, "dataset", split="train").params.keyed()["source"]
    part = plan_of(
        "data.lsun-churches-256.reference=3", "data.lsun-churches-256.train=4", text=text
    )
    train = one(part, "dataset", split="train")
    assert (train.count, train.params.keyed()["source"]["order"]) == (4, "digest")


def test_classes_of_names_are_keyed_and_those_of_folders_are_as_before(plan_of, tmp_path):
    images(tmp_path / "images")
    plain = one(plan_of(text=FOLDERS), "dataset", split="train").params.keyed()["source"]
    assert "labels" not in plain
    named = plan_of("data.lsun-churches-256.labels=name", text=FOLDERS)
    assert one(named, "dataset", split="train").params.keyed()["source"] == {
        **plain,
        "labels": "name",
    }


def test_images_that_a_run_could_not_use_end_the_plan(plan_of, tmp_path):
    images(tmp_path / "images")
    (tmp_path / "images/phone.heic").write_bytes(b"x")
    (tmp_path / "images/cut.png").write_bytes((tmp_path / "images/1.png").read_bytes()[:60])
    with pytest.raises(InputError, match=r"2 of 14 images.*\n.*phone\.heic.*\n.*cut\.png"):
        plan_of(text=FOLDERS)
