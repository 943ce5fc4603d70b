"""Suites that no one wrote on purpose: refused within stated limits, with the place."""

import contextlib
import os
import random
import socket

import pytest
from ruamel.yaml import YAML

from ldmbench.errors import InputError, SuiteError
from ldmbench.plan.expand import matches
from ldmbench.session.planning import planned
from ldmbench.suite.load import headline, load_suite, places_of, settings_of

GOOD = {
    "suite": "h",
    "data": "{s: {kind: shapes, resolution: 32, train: 64, reference: 64}}",
    "models": "{m: {autoencoder: {f: 1}, denoiser: {channels: 8}, budget: {steps: 2}}}",
    "sample": "{steps: 2, count: 64}",
    "metrics": "[fid]",
}
BOMB = "".join(
    f"x{i}: &x{i} [{', '.join([f'*x{i - 1}'] * 9 if i else ['a'] * 9)}]\n" for i in range(10)
)


def text(before="", **fields):
    return before + "".join(f"{key}: {value}\n" for key, value in {**GOOD, **fields}.items())


def refused(path, content, sets=()):
    file = path / "s.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as caught:
        planned(file, sets, (), store=path / "st")
    return str(caught.value)


def model(part):
    return f"{{m: {{autoencoder: {{f: 1}}, denoiser: {{channels: 8}}, {part}}}}}"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (text(sample="{steps: 2, guidance: .inf}"), ":4: sample.guidance: found inf; numbers are"),
        (text(sample="{steps: 2, guidance: .nan}"), ":4: sample.guidance: found nan"),
        (text(sample="{steps: 2, guidance: '1e400'}"), ":4: sample.guidance: found inf"),
        (text(models=model("budget: {flops: 1e400}")), ":3: models.m.budget.flops: found inf"),
        (text(models=model("budget: {flops: 1e31}")), "numbers are finite, and 0 or from 1e-30"),
        (text(models=model("budget: {flops: [null, null]}")), ":3: models.m.budget: found null"),
        (text(models=model("budget: {flops: []}")), "models.m.budget.flops: found []"),
        (text(models="{m: {kind: call, target: 'a:b', options: {x: 2020-01-01}}}"), "date; put it"),
        (text(models="{m: {kind: call, target: 'a:b', options: {x: .inf}}}"), "options.x: found"),
        (text(models='{m: {kind: load, path: "a\\0b"}}'), ":3: models.m.path: found U+0000"),
        (text(models='{m: {kind: load, path: "a\\uD800b"}}'), ":3: models.m.path: found U+D800"),
        (text(models='{"m\\0": {kind: load, path: a}}'), "found U+0000, a character that no text"),
        (text(sample="{steps: 2, count: " + "9" * 5000 + "}"), ":4: found 5,000 digits; integers"),
        (text(sample="{steps: 2, count: " + "9" * 30 + "}"), "sample.count: found 30 digits"),
        (text(sample="{steps: 2, count: 0x" + "f" * 99 + "}"), ":4: found 101 digits"),
        (text(sample="{steps: 2, seed: 2020-99-99}"), ":4: not YAML: month must be in 1..12"),
        (text(sample="{a: " * 300 + "1" + "}" * 300), ":4: a suite has at most 40 levels"),
        (text(sample="&a {steps: 2, b: *a}"), ":4: *a refers to a value that contains it"),
        (text(sample="&a {steps: 2, <<: *a}"), ":4: *a refers to a value that contains it"),
        (text(BOMB, metrics="*x9"), ":5: a suite has at most 20,000 values, with those that"),
        (text(BOMB, sample="{<<: *x9}"), ":5: a suite has at most 20,000 values"),
        (text(metrics="[" + "fid, " * 20_000 + "]"), ":5: a suite has at most 20,000 values"),
        (text(question="!!python/object:os.system x"), ":6: found the tag !!python/object:os.sys"),
        ("%YAML 1.1\n---\n" + text(), "2: found YAML 1.1, where `no` is false"),
        (text("? [a, b]\n: c\n"), "found ('a', 'b') as a key; keys are text"),
        (text("1: a\n'1': b\n"), ":2: 1: found twice, as a number and as text"),
        (text("\tsuite: a\n"), ":1: not YAML: found character '\\t'"),
        (text(suite="h\x1b[31m"), ":1: not YAML: found U+001B, a character that YAML forbids"),
        (text(suite="h\nsuite: g"), ":2: not YAML: found duplicate key"),
        (text(question="x" * 300_000), "s.yaml: a suite has at most 256 kB"),
        (text().encode("utf-16"), "s.yaml:1: found UTF-16 text; save the file as UTF-8"),
        (text(question="café").encode("latin-1"), "s.yaml:6: found the byte 0xe9, which is not"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "s.yaml:1: found the byte 0x89"),
        (text(sample="{steps: 2, count: 1000000000000}"), "units of work"),
        (text(data="{s: {resolution: 32, reference: 1000000000000}}"), "units of work, "),
        (text(metrics="[" + "fidd, " * 9_000 + "]"), ":5: metrics: found 9,000 metrics"),
        (text(include="[" + "'*', " * 9_000 + "]"), "at most 200 items"),
        (
            text(sample=f"{{steps: {list(range(1, 201))}, seed: {list(range(200))}}}"),
            ":4: sample: the axes give 40,000 cells (1 of models x 1 of data x 40,000 of sample);"
            " allowed: 10,000",
        ),
    ],
)  # fmt: skip
def test_hostile_suites_are_refused_with_their_place(tmp_path, content, told):
    message = refused(tmp_path, content)
    assert told in message
    assert len(message.splitlines()) < 12


def test_many_axes_are_counted_not_made(tmp_path):
    ten = list(range(1, 101))
    both = model(
        f"budget: {{steps: {ten}}}, denoiser: {{batch: {ten}, train_seed: {ten}}}"
    ).replace("denoiser: {channels: 8}, ", "")
    message = refused(tmp_path, text(models=both, sample=f"{{steps: {ten}, seed: {ten}}}"))
    assert "the axes give 10,000,000,000 cells" in message


def test_more_problems_than_a_page_are_counted(tmp_path):
    message = refused(tmp_path, text(sample="{steps: [" + "x, " * 500 + "]}"))
    assert message.splitlines()[-1] == "and 400 more"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("sample.steps=[1", "not YAML"),
        ("sample.steps=!!int 3", "the tag !!int"),
        ("sample.guidance=.inf", "found inf"),
        ("sample.count=" + "9" * 5000, "5,000 digits"),
        ("question=" + "[" * 300, "at most 40 levels"),
        (".".join("a" * 2000) + "=1", "at most 40 levels"),
        ("sample..steps=1", "a name in the path is empty"),
        (".sample=1", "a name in the path is empty"),
        ("sample.=1", "a name in the path is empty"),
        ("metrics.²=fid", "'²' is no place in a list of 1"),
        ("metrics." + "9" * 5000 + "=fid", "is no place in a list of 1"),
        ("=3", "write PATH=VALUE"),
        ("sample", "write PATH=VALUE"),
    ],
)
def test_hostile_sets_are_refused_by_name(tmp_path, change, told):
    message = refused(tmp_path, text(), [change])
    assert told in message
    assert message.startswith("--set ")


def test_a_suite_is_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "socket"))
    for place, found in [
        (tmp_path / "pipe", "a pipe"),
        (tmp_path / "socket", "a socket"),
        (tmp_path, "a folder"),
    ]:
        with pytest.raises(InputError, match=f"found {found}; a suite is a file of YAML"):
            load_suite(place)
        assert headline(place) == ""
    listening.close()
    with pytest.raises(InputError, match="no such suite file"):
        load_suite(tmp_path / "none.yaml")


def test_sound_yaml_is_read_as_it_was(tmp_path):
    file = tmp_path / "s.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + text("x-: &d {count: 64}\n").encode())
    with pytest.raises(SuiteError, match="x-: unknown key"):
        load_suite(file)
    whole = "&d {steps: 2, count: 64}"
    file.write_text(text(sample=whole, data="{8: {resolution: 32}, b: &b {resolution: 64}, c: *b}"))
    loaded = load_suite(file, ["data.b.resolution=16", "data.8.train=5"])
    written = loaded.written.data
    assert [d.resolution for d in written.values()] == [32, 16, 64]  # c has its own
    assert written["8"].train == 5
    file.write_text(loaded.text)
    assert load_suite(file).digest == loaded.digest


def test_what_a_damaged_run_keeps_of_its_suite_ends_nothing():
    for kept in (BOMB, "a: [", "\0", "mlflow: [1]", "models: 3", "models: {a: 1}", ""):
        settings_of(kept)
        assert places_of(kept) == {}
    assert settings_of("mlflow: {enabled: false}").enabled is False


@pytest.mark.parametrize("glob", ["*a" * 40 + "*b", "*" * 400 + "b", "*?" * 40 + "b"])
def test_globs_of_many_stars_end(glob):
    assert not matches("a" * 200, glob)
    assert matches("a" * 200 + "b", glob)


def test_brackets_of_a_cell_are_no_special_signs():
    assert matches("ldm[f=4]/shapes/ddim-5/g1/s0", "ldm[f=4]/*")
    assert matches("ldm[f=4]/s", "*[f=?]/s")
    assert not matches("ldmf/s", "ldm[f=4]/s")


VALUES = [0, -1, 1, 2, 3, 64, 10**6, 10**12, 10**17, 10**19, 0.5, 1e-30, 1e30, float("inf"), None,
          float("nan"), True, "", "a", "1e400", "²", "9" * 30, "*", "../x", "\x1b[31m", "\u202e",
          "x" * 300, [], {}, [None, None], [[1]], [[]], [1, 2], [1.0, 2.5], ["a", "b"], [1, 1],
          {"a": 1}, {"kind": "x"}, {"kind": None}, {"kind": [1]}, "ldm", "load", "call", "folder",
          [True, False], ["ddim", "unipc"]]  # fmt: skip


def test_no_value_in_any_place_is_an_internal_error(tmp_path):
    file = tmp_path / "s.yaml"
    plain = YAML(typ="safe", pure=True)
    drawn = random.Random(15)
    for _ in range(150):
        data = plain.load(text(probes="[flops, coding, reconstruction]"))
        places = list(_places(data))
        for node, key in drawn.sample(places, drawn.choice([1, 1, 2])):
            node[key] = drawn.choice(VALUES)
        with file.open("w", encoding="utf-8") as out:
            plain.dump(data, out)
        with contextlib.suppress(InputError):
            planned(file, (), (), store=tmp_path / "st")


def _places(node):
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        yield node, key
        if isinstance(value, dict | list):
            yield from _places(value)
