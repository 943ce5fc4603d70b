"""Protocols of a suite: what may be written, and every mistake with its place."""

import pytest

from ldmbench.errors import SuiteError
from ldmbench.suite.check import check_suite
from ldmbench.suite.load import load_suite
from ldmbench.suite.protocol_files import protocol_named
from ldmbench.suite.protocols import protocols_of, real_images

GOOD = """
suite: demo
data:
  shapes: {kind: shapes, resolution: 32, train: 64, reference: 64}
models:
  ldm:
    autoencoder: {f: 4}
    denoiser: {conditioning: class}
    budget: {steps: 5}
sample: {steps: 5, count: 8}
metrics: [fid]
"""


@pytest.fixture
def loaded(tmp_path):
    file = tmp_path / "suite.yaml"
    file.write_text(GOOD)
    return lambda *sets: load_suite(file, sets)


def test_a_name_a_change_and_a_list(loaded):
    def names(change):
        suite = loaded(f"protocol={change}")
        check_suite(suite)
        return [p.name for p in protocols_of(suite.written)]

    assert names("clean-fid") == ["clean-fid"]
    assert names("{base: clean-fid, k: 5, shuffle_seed: null}") == [
        "clean-fid[k=5,shuffle_seed=null]"
    ]
    assert names("{base: clean-fid, k: 3}") == ["clean-fid"]  # as the base has it
    assert names("[clean-fid, {base: clean-fid, k: 5}]") == ["clean-fid", "clean-fid[k=5]"]


@pytest.mark.parametrize(
    ("change", "name", "dataset", "real"),
    [
        ("reference_split: train", "reference_split=train", "mscoco-256", ("train", 30_000, None)),
        ("reference_count: null", "reference_count=null", "ffhq-256", ("train", None, "shortest")),
        ("crop: null", "crop=null", "ffhq-256", ("train", 60_000, None)),
        ("reference_count: null, resolution: null", "reference_count=null", "mscoco-256",
         ("validation", None, None)),
        ("neighbour_count: 10000", "", "ffhq-256", ("train", 60_000, "shortest")),
    ],
)  # fmt: skip
def test_a_change_holds_for_the_rules_of_datasets_too(loaded, change, name, dataset, real):
    suite = loaded(f"protocol={{base: ldm-2112.10752, {change}}}")
    (protocol,) = protocols_of(suite.written)
    assert protocol.name == "ldm-2112.10752" + (f"[{name}]" if name else "")
    found = real_images(protocol, dataset)
    assert (found.split, found.count, found.crop) == real


@pytest.mark.parametrize("base", ["coco-30k", "edm2", "adm-2105.05233"])
def test_what_base_and_rules_have_is_no_change(loaded, base):
    named = protocol_named(base)
    same = f"crop: {named.crop}, reference_split: {named.reference_split}"
    (protocol,) = protocols_of(loaded(f"protocol={{base: {base}, {same}}}").written)
    assert protocol is named


def test_null_is_a_value_and_unset_is_not(loaded):
    base, null = loaded("protocol={base: clean-fid, k: 5}"), loaded(
        "protocol={base: clean-fid, k: 5, shuffle_seed: null}"
    )  # fmt: skip
    assert base.digest != null.digest
    assert protocols_of(base.written)[0].shuffle_seed == 2020
    assert protocols_of(null.written)[0].shuffle_seed is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["protocol={base: cleanfid}"], "protocol.base: unknown protocol 'cleanfid' (did you mean"),
        (["protocol=[shapes-v1, cleanfid]"], "protocol[1]: unknown protocol 'cleanfid'"),
        (["protocol={k: 5}"], "protocol.base: required"),
        (["protocol={base: clean-fid, splts: 5}"], "protocol.splts: unknown key (did you mean 's"),
        (["protocol=[{base: clean-fid, kk: 5}]"], "protocol[0].kk: unknown key"),
        (["protocol={base: clean-fid, k: 0}"], "protocol.k: found 0"),
        (["protocol={base: clean-fid, rule: gt}"], "protocol.rule: found 'gt'"),
        (["protocol=[]"], "protocol: found []"),
        (["protocol=7"], "protocol: found 7"),
        (
            ["protocol={base: clean-fid, extractor: dino}"],
            "protocol.extractor: unknown extractor 'dino'",
        ),
        (["protocol={base: clean-fid, clip: shapes-net}"], "protocol.clip: unknown extractor"),
        (["protocol=[clean-fid, clean-fid]"], "found clean-fid twice"),
        (
            ["protocol=[ldm-2112.10752, {base: clean-fid, quantize: round}]"],
            "ldm-2112.10752 has quantize truncate, clean-fid[quantize=round] has quantize round; "
            "set sample.quantize",
        ),
        (["protocol=[ldm-2112.10752, adm-2105.05233]"], "set sample.timesteps"),
        (
            ["protocol=[adm-2105.05233, {base: clean-fid, classes: balanced}]"],
            "give one {base: ..., classes: ...}",
        ),
        (
            ["protocol={base: shapes-v1, extractor: dinov2-vit-s-14}", "metrics=[sfid]"],
            "sfid needs spatial features, which dinov2-vit-s-14",
        ),
        (["metrics=[lpips]"], "add the probe reconstruction"),
        (
            ["metrics=[lpips]", "probes=[reconstruction]", "data.shapes.resolution=16"],
            "lpips needs images of 32 pixels or more, but data.shapes has resolution 16",
        ),
    ],
)
def test_mistakes_have_their_place(loaded, changes, message):
    with pytest.raises(SuiteError) as caught:
        check_suite(loaded(*changes))
    assert any(message in problem for problem in caught.value.problems), caught.value.problems


def test_what_the_suite_sets_settles_a_quarrel(loaded):
    check_suite(
        loaded(
            "protocol=[ldm-2112.10752, {base: clean-fid, quantize: round}]",
            "sample.quantize=round",
        )
    )


def test_memorization_is_refused_where_the_reference_was_trained_on(loaded):
    check_suite(loaded("metrics=[memorization]"))
    check_suite(
        loaded(
            "metrics=[memorization]", "protocol={base: adm-2105.05233, reference_split: reference}"
        )
    )
    with pytest.raises(SuiteError, match=r"metrics\[0\]: memorization .* is the split train"):
        check_suite(loaded("metrics=[memorization]", "protocol=adm-2105.05233"))
