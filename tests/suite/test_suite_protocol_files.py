"""Protocols as files: those that ship, a suite's own, and every mistake with its place."""

import pytest

from ldmbench.errors import InputError, SuiteError
from ldmbench.schema.protocol import Protocol
from ldmbench.suite.check import check_suite
from ldmbench.suite.load import load_suite
from ldmbench.suite.protocol_files import (
    FOLDER,
    protocol_named,
    read_protocol,
    shipped_protocols,
)
from ldmbench.suite.protocols import protocols_of

SUITE = """
suite: demo
protocol: ./mine.yaml
data: {shapes: {kind: shapes, resolution: 32, train: 64, reference: 64}}
models: {ldm: {autoencoder: {f: 4}, budget: {steps: 5}}}
sample: {steps: 5, count: 8}
metrics: [fid]
"""
MINE = """
protocol: mine
version: 1
extractor: shapes-net
k: 5
sampling:
  - {dataset: shapes, steps: [5], crop: center}
"""


@pytest.fixture
def write(tmp_path):
    (tmp_path / "suite.yaml").write_text(SUITE)

    def to(text, name="mine.yaml"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return to


def protocols(write, *sets):
    loaded = load_suite(write(MINE).parent / "suite.yaml", sets)
    check_suite(loaded)
    return protocols_of(loaded.written)


def test_a_protocol_that_ships_is_a_file_of_its_name():
    assert set(shipped_protocols()) >= {"shapes-v1", "clean-fid", "ldm-2112.10752"}
    for name, path in shipped_protocols().items():
        protocol = protocol_named(name)
        assert (protocol.name, protocol.file) == (name, "")
        assert protocol.about
        assert path == FOLDER / f"{name}.yaml"


def test_a_suite_names_its_own_protocol_beside_it(write):
    (mine,) = protocols(write)
    assert isinstance(mine, Protocol)
    assert mine.name == mine.file
    assert mine.name.startswith("mine@")
    assert (mine.k, mine.extractor, mine.rule_for("shapes").crop) == (5, "shapes-net", "center")


def test_a_file_stands_in_a_list_and_is_changed_as_any_other(write):
    both = protocols(write, "protocol=[shapes-v1, ./mine.yaml, {base: ./mine.yaml, k: 7}]")
    assert [p.name.partition("@")[0] for p in both] == ["shapes-v1", "mine", "mine"]
    assert both[2].name == f"{both[1].name}[k=7]"
    assert (both[2].k, both[2].file) == (7, both[1].file)


def test_two_files_of_one_name_are_two_protocols(write):
    first = read_protocol(write(MINE))
    assert read_protocol(write(f"# a comment\n{MINE}about: words\n")).name == first.name
    for other in (MINE.replace("k: 5", "k: 4"), MINE.replace("version: 1", "version: 2")):
        assert read_protocol(write(other)).name != first.name


def test_a_suite_whose_protocol_changed_is_another_suite(write):
    path = write(MINE).parent / "suite.yaml"
    before = load_suite(path).digest
    assert load_suite(path).digest == before
    write(MINE.replace("k: 5", "k: 4"))
    assert load_suite(path).digest != before


def test_every_error_of_the_file_and_of_the_suite_comes_in_one_pass(write):
    path = write(
        "protocol: clean-fid\nextractor: shapes-nett\nk: 0\nrulle: le\n"
        "reference_split: trian\ncited: {splitz: here}\nsampling:\n  - {dataset: x, sampler: dim}\n"
    )
    with pytest.raises(SuiteError) as refused:
        load_suite(path.parent / "suite.yaml", ["metrics=[fidd]"])
    found = "\n".join(refused.value.problems)
    for place, text in {
        "1: protocol": "found 'clean-fid', the name of a protocol that ships; choose another",
        "1: version": "required, found nothing",
        "2: extractor": "unknown extractor 'shapes-nett' (did you mean 'shapes-net'?)",
        "3: k": "found 0; input should be greater than 0",
        "4: rulle": "unknown key (did you mean 'rule'?); allowed: extractor, clip",
        "5: reference_split": "found 'trian' (did you mean 'train'?)",
        "6: cited.splitz": "no field of a protocol (did you mean 'splits'?)",
        "8: sampling[0].sampler": "found 'dim' (did you mean 'ddim'?)",
        "8: sampling[0].steps": "required, found nothing",
    }.items():
        assert f"{path}:{place}: {text}" in found, found
    assert "metrics[0]: found 'fidd'" in found


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("protocol=./other.yaml", "no such protocol file; `ldmbench list protocols` names"),
        ("protocol={base: ./mine.yaml, splitz: 3}", "unknown key (did you mean 'splits'?)"),
        ("protocol={base: ./mine.yaml, extractor: incepton}", "unknown extractor 'incepton'"),
        ("protocol=mine", "unknown protocol 'mine'; allowed: adm-2105.05233, clean-fid"),
    ],
)
def test_what_a_suite_may_not_write(write, change, text):
    with pytest.raises(InputError) as refused:
        protocols(write, change)
    assert text in str(refused.value)
