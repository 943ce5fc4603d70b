"""Signatures: they name real images and captions, whatever of these is still in the store."""

import json
import shutil

import pytest
import tiny

from ldmbench.canonical import digest
from ldmbench.execute.step import Outcome, run_units
from ldmbench.plan.score import FeatureSource, build_score_plan
from ldmbench.records.signature import name_of, signature
from ldmbench.schema.local import Local
from ldmbench.schema.stage import Input, Stage
from ldmbench.store.artifact import MANIFEST
from ldmbench.store.disk import Store
from ldmbench.store.units import units_of
from ldmbench.suite.protocol_files import protocol_named

COUNT, SHARD = 1100, 512


def images_of(name):
    source = {"kind": "folder", "resolution": 256, "digest": name, "crop": "none",
              "resize": "none", "upscale": 0, "reference": 0, "validation": 0}  # fmt: skip
    key = f"{name}{'0' * 31}"
    params = {"source": source, "split": "reference"}
    return Stage(kind="dataset", key=key, shard=SHARD, count=COUNT, params=params)


def features_of(images, key):
    seen = tiny.PARAMS["features"]
    held = {"images": Input(kind=images.kind, key=images.key)}
    return Stage(kind="features", key=key, shard=64, count=COUNT, params=seen, inputs=held)


def scored(name, store):
    """Return scores against images of a name, and their plan, all of it made."""
    real, samples = (
        images_of(name),
        Stage(kind="samples", key="m", shard=64, count=64, params=tiny.PARAMS["samples"]),
    )
    sides = {"reference": features_of(real, f"r{name}"), "generated": features_of(samples, "g")}
    inputs = {r: Input(kind="features", key=s.key, count=64) for r, s in sides.items()}
    inputs["reference"] = Input(kind="features", key=f"r{name}", count=COUNT)
    scores = Stage(kind="scores", key=f"s{name}", params=tiny.PARAMS["scores"], inputs=inputs)
    stages = {s.key: s for s in (real, samples, *sides.values(), scores)}

    def execute(task):
        (task.output / "made.txt").write_text(f"{task.key} {task.shard}")
        return Outcome(0.0)

    for stage in stages.values():
        for unit in units_of(stage, stop=64 if stage.key == "g" else None):
            run_units([unit], store, stages, execute=execute, device="cpu")
    return scores, stages


def forget(scores, store):
    """Leave the manifest of scores as it was before it kept names."""
    file = store.root / "scores" / scores.key / MANIFEST
    told = json.loads(file.read_text())
    told["input_digests"] = {r: d for r, d in told["input_digests"].items() if "/" not in r}
    file.write_text(json.dumps(told))


def test_signatures_outlive_images_and_features(tmp_path):
    store = Store(tmp_path)
    made = [scored(name, store) for name in "ab"]
    before = [signature("fid", *each, store) for each in made]
    assert before[0] != before[1]
    shutil.rmtree(tmp_path / "features")
    shutil.rmtree(store.folder(units_of(images_of("a"))[1].address))
    assert [signature("fid", *each, store) for each in made] == before
    shutil.rmtree(tmp_path / "dataset")
    assert [signature("fid", *each, store) for each in made] == before


@pytest.mark.parametrize("role", ["dataset", "features"])
def test_a_store_that_kept_no_names_reads_them_of_what_is_whole(tmp_path, role):
    store = Store(tmp_path)
    scores, stages = scored("a", store)
    before = signature("fid", scores, stages, store)
    forget(scores, store)
    shutil.rmtree(tmp_path / role)
    assert signature("fid", scores, stages, store) == before


def test_a_part_of_the_images_is_never_their_digest(tmp_path):
    store, shown = Store(tmp_path), []
    for name in "ab":
        scores, stages = scored(name, store)
        first = name_of(images_of(name), stages, store, SHARD)
        forget(scores, store)
        shutil.rmtree(tmp_path / "features" / f"r{name}")
        shutil.rmtree(store.folder(units_of(images_of(name))[1].address))
        shown.append(str(signature("fid", scores, stages, store)))
        assert name_of(stages[f"r{name}"], stages, store, SHARD) == first  # these are all there
    assert "|ref:folder256-reference@key-a0000000|" in shown[0]
    assert "|ref:folder256-reference@key-b0000000|" in shown[1]


@pytest.mark.parametrize(
    ("part", "named"),
    [
        ({"neighbours": 20, "neighbours_ref": "x@20"}, {"moments": "x@30", "neighbours": "x@20"}),
        ({"neighbours": 10, "neighbours_ref": "x@10"}, {"moments": "x@30", "neighbours": "x@30"}),
        ({}, {"moments": "x@30", "neighbours": "x@30"}),
    ],
)
def test_the_first_images_of_a_built_reference_have_a_name_of_their_own(tmp_path, part, named):
    made, real = (FeatureSource(n, 30, 6, n, ref="x@30", **part) for n in ("made", "real"))
    plain = FeatureSource("real", 30, 6, "real", ref="x@30")
    protocol = protocol_named("shapes-v1").model_copy(update={"neighbour_count": 20})
    asked = {"metrics": ["fid", "precision"]}
    plan = build_score_plan(made, real, protocol, **asked)
    for family, name in named.items():
        scores = plan.by_key()[plan.cells[0].stages[f"shapes-v1:{family}"]]
        shown = signature("fid", scores, plan.by_key(), Store(tmp_path))
        assert shown.fields["ref"] == name
    keys = set(build_score_plan(made, plain, protocol, **asked).by_key())
    assert keys == set(plan.by_key())  # a name is no part of what is computed


# ---------------------------------------------------------------- captions


def captioned(key, texts, store, *, count):
    """Return a CLIP score of images with these captions, and their plan, all of it made."""
    size = len(texts)
    images = Stage(
        kind="samples", key=f"i{key}", shard=4, count=size, params=tiny.PARAMS["samples"]
    )
    seen = features_of(images, f"t{key}").model_copy(update={"count": size})
    held = {"generated": Input(kind="features", key=seen.key, count=count)}
    scores = Stage(
        kind="scores",
        key=f"c{key}",
        params={**tiny.PARAMS["scores"], "family": "clip"},
        inputs=held,
    )
    stages = {s.key: s for s in (images, seen, scores)}

    def execute(task):
        (task.output / "made.txt").write_text(task.key)
        if task.kind == "samples":
            (task.output / "captions.json").write_text(json.dumps(texts[slice(*task.shard)]))
        return Outcome(0.0)

    for stage in stages.values():
        for unit in units_of(stage):
            run_units([unit], store, stages, execute=execute, device="cpu")
    return scores, stages


def text_of(scores, stages, store):
    return signature("clip_score", scores, stages, store).fields.get("text")


def test_a_clip_score_names_the_captions_used_in_their_order(tmp_path):
    store, texts = Store(tmp_path), [f"a {i}" for i in range(6)]
    cases = {
        "same": texts, "beyond": [*texts[:5], "other"],
        "changed": ["other", *texts[1:]], "turned": [*texts[1::-1], *texts[2:]],
    }  # fmt: skip
    named = {k: text_of(*captioned(k, held, store, count=5), store) for k, held in cases.items()}
    assert named["same"] == named["beyond"] == digest(texts[:5])[:8]
    assert len(set(named.values())) == 3


def test_captions_outlive_their_images_and_are_left_out_where_nothing_tells_them(tmp_path):
    store = Store(tmp_path)
    scores, stages = captioned("x", [f"a {i}" for i in range(6)], store, count=6)
    before = text_of(scores, stages, store)
    shutil.rmtree(tmp_path / "features")
    forget(scores, store)
    assert text_of(scores, stages, store) == before  # read of the images
    spoiled = store.folder(units_of(stages["ix"])[1].address) / "captions.json"
    spoiled.write_text(spoiled.read_text().replace("5", "6"))
    assert text_of(scores, stages, store) is None
    shutil.rmtree(tmp_path / "samples")
    assert text_of(scores, stages, store) is None
    scores, stages = captioned("y", [f"a {i}" for i in range(6)], store, count=6)
    shutil.rmtree(tmp_path / "samples")
    assert text_of(scores, stages, store) == before


def test_a_protocol_of_a_file_is_signed_with_a_digest_of_what_it_says(tmp_path):
    shown = []
    for k in (3, 4):
        file = tmp_path / "mine.yaml"
        file.write_text(f"protocol: mine\nversion: 1\nextractor: shapes-net\nk_density: {k}\n")
        protocol = protocol_named(str(file))
        made, real = (FeatureSource(n, 30, 6, n, ref="x@30") for n in ("made", "real"))
        plan = build_score_plan(made, real, protocol, metrics=["fid"])
        scores = plan.by_key()[plan.cells[0].stages[f"{protocol.name}:moments"]]
        shown.append(signature("fid", scores, plan.by_key(), Store(tmp_path), protocol))
    assert shown[0].fields["protocol"].startswith("mine@")
    assert str(shown[0]) != str(shown[1])


def test_a_recipe_of_preparation_is_named_and_its_absence_is_not(tmp_path):
    store = Store(tmp_path)
    scores, stages = scored("a", store)
    plain = signature("fid", scores, stages, store)
    named = stages["a" + "0" * 31].model_copy(update={"local": Local(prepare="taming@1")})
    written = signature("fid", scores, {**stages, named.key: named}, store)
    assert written.without({"prepare"}) == plain
    assert plain.differences(written) == {"prepare": ("none", "taming@1")}
    assert "|crop:none|resize:none|prepare:taming@1|" in str(written)
