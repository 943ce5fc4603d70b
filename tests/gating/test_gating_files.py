"""Files: baselines that survive a round trip, JUnit that readers take, Markdown that is inert."""

import json
import re
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from made_records import Made, baseline_of

from ldmbench.errors import InconclusiveError, InputError, UnlikeError
from ldmbench.gating import baseline as baselines
from ldmbench.gating import (
    judge,
    junit_xml,
    markdown,
    merged,
    read_baseline,
    terminal,
    write_baseline,
)
from ldmbench.gating.baseline import accepted_run
from ldmbench.gating.commit import Commit, commit_of
from ldmbench.gating.verdict import Outcome
from ldmbench.records.compare import stored_replicates
from ldmbench.schema.baseline import RuleChange


def outcome_of(store, base, new):
    return judge(new.records(store), baseline_of(store, base), stored_replicates(store))


def test_a_baseline_survives_the_round_trip_without_the_store(tmp_path):
    made = baseline_of(tmp_path / "s", Made(), rules={"fid": RuleChange(tolerance=0.1)})
    path = tmp_path / "b" / "smoke.json"
    write_baseline(path, made)
    assert read_baseline(path) == made
    new = Made(number=2, fid=20.2, own=2)
    items = judge(new.records(tmp_path / "n"), made, stored_replicates(tmp_path / "n")).items
    assert "paired, 200 replicates" in items[0].method
    data = json.loads(path.read_text())
    assert data["api_version"] == 2
    assert data["rules"] == {"fid": {"tolerance": 0.1}}
    assert len(data["runs"][0]["cells"][0]["scores"][0]["replicates"]) == 200
    assert max(len(line) for line in path.read_text().splitlines()) < 3000
    assert len(path.read_text().splitlines()) < 400


def test_provenance_is_kept(tmp_path):
    run = baseline_of(tmp_path, Made()).runs[0]
    assert run.commit == "ab" * 20
    assert run.machine["platform"] == "Linux"
    assert run.versions == {"ldmbench": "0.1.0"}
    assert re.match(r"\d{4}-\d\d-\d\dT", run.accepted)
    score = run.cells[0].scores[0].score
    assert score.signature.startswith("fid|v1|")
    assert score.low < score.value < score.high
    assert commit_of(tmp_path, besides=tmp_path / "b.json") == Commit()


def test_the_baseline_itself_makes_no_commit_dirty(tmp_path):
    """In a real checkout, from a folder below its root, with names that git would quote."""
    base, other = tmp_path / "base lines" / "é.json", tmp_path / "other file"
    base.parent.mkdir()

    def git(*arguments):
        identity = ("-c", "user.name=A", "-c", "user.email=a@b.c")
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True)

    for path in (base, other):
        path.write_text("1")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    clean = commit_of(base.parent, besides=base)
    assert re.fullmatch("[0-9a-f]{40}", clean.digest)
    assert not clean.dirty
    base.write_text("2")
    assert commit_of(base.parent, besides=base) == clean
    assert commit_of(base.parent, besides=tmp_path / "else.json").dirty
    assert commit_of(base.parent, besides=Path("/elsewhere.json")).dirty
    other.write_text("2")
    assert commit_of(base.parent, besides=base).dirty


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is damaged or not a baseline"),
        ('{"api_version": 1, "suite": "s", "runs": [NaN]}', "NaN is no finite number"),
        ('{"api_version": 1, "suite": "s", "runs": [1e999]}', "1e999 is no finite number"),
        ("[" * 100_000, "is damaged or not a baseline"),
        ("[]", "it has no api_version"),
        ('{"api_version": 3}', "newer than this ldmbench understands"),
        ('{"api_version": 0}', "accept a run again"),
        ('{"api_version": 1}', "suite: Field required"),
        ('{"api_version": 1, "suite": "s", "rulez": {}}', "rulez: Extra inputs"),
        ('{"api_version": 1, "suite": "s", "rules": {"fidd": {}}}', "did you mean 'fid'"),
        ('{"api_version": 1, "suite": "s", "rules": {"fid": {"limit": -1}}}', "rules.fid.limit"),
    ],
)
def test_damaged_foreign_and_future_files_are_refused(tmp_path, text, message):
    path = tmp_path / "b.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_baseline(path)


def test_an_older_file_is_migrated_step_by_step(tmp_path, monkeypatch):
    monkeypatch.setattr(baselines, "API_VERSION", 3)
    monkeypatch.setattr(
        baselines,
        "MIGRATIONS",
        {
            1: lambda d: {**d, "suite": d["name"], "api_version": 2},
            2: lambda d: {k: v for k, v in d.items() if k != "name"},
        },
    )
    path = tmp_path / "b.json"
    path.write_text('{"api_version": 1, "name": "smoke"}')
    assert read_baseline(path).suite == "smoke"


def test_a_baseline_of_version_1_gets_the_names_of_today(tmp_path):
    rules = '{"fid": {"by": "watched"}, "latency": {"doubt": 0.1, "limit": 0.2}}'
    path = tmp_path / "b.json"
    path.write_text(f'{{"api_version": 1, "suite": "smoke", "rules": {rules}}}')
    found = read_baseline(path)
    assert found.api_version == 2
    assert found.rules["fid"] == RuleChange(by="recorded_only")
    assert found.rules["latency"] == RuleChange(yardstick_doubt=0.1, limit=0.2)


def test_accept_replaces_or_adds_and_keeps_the_rules(tmp_path):
    old = baseline_of(tmp_path, Made(), rules={"fid": RuleChange(limit=0.5)})
    new = baseline_of(tmp_path, Made(number=2)).runs[0]
    assert [r.run for r in merged(new, old, add=False).runs] == [Made(number=2).id]
    both = merged(new, old, add=True)
    assert [r.run for r in both.runs] == [Made().id, Made(number=2).id]
    assert merged(new, both, add=True) == both
    assert both.rules == old.rules
    with pytest.raises(UnlikeError, match="write another file"):
        merged(baseline_of(tmp_path, Made(suite="other")).runs[0], old, add=True)


@pytest.mark.parametrize(
    ("made", "error", "message"),
    [
        (Made(stale=("denoiser",)), InputError, "run SUITE --fresh denoiser"),
        (Made(failed=Made().cells[:1]), InconclusiveError, "1 of 2 cells failed"),
        (Made(cells=()), InconclusiveError, "nothing was measured"),
    ],
)
def test_accept_refuses_stale_failed_and_empty_runs(tmp_path, made, error, message):
    with pytest.raises(error, match=message):
        accepted_run(made.records(tmp_path), lambda _: None, commit=Commit())


EVIL = "<script>alert(1)</script>|\x1b[31m`/shapes/ddim-4/g1/s0"


def test_junit_counts_and_escapes(tmp_path):
    cells = (EVIL, "pixel/shapes/ddim-4/g1/s0", "third/shapes/ddim-4/g1/s0")
    new = Made(number=2, cells=cells, flops=9e9, latency=0.02, throughput=None, failed=cells[2:])
    text = junit_xml(outcome_of(tmp_path, Made(cells=cells), new))
    assert "\x1b" not in text
    assert "<script>" not in text
    root = ET.fromstring(text)
    assert root.tag == "testsuites"
    suites = root.findall("testsuite")
    assert len(suites) == 3
    for tag, attribute in (("testcase", "tests"), ("failure", "failures"), ("error", "errors")):
        assert int(root.get(attribute)) == sum(int(s.get(attribute)) for s in suites)
        assert int(root.get(attribute)) == len(list(root.iter(tag)))
    assert {f.get("type") for f in root.iter("failure")} == {"regressed"}
    assert [c.get("name") for c in root.iter("testcase") if c.find("failure") is not None] == [
        "flops_per_image", "flops_per_image",
    ]  # fmt: skip
    assert all(case.get("classname") and case.get("time") for case in root.iter("testcase"))
    assert root.find(".//error").get("message") == "it broke"


SHAPE = {  # what Jenkins' junit-10.xsd allows: attributes (* required), children
    "testsuites": ({"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name*", "tests*", "failures*", "errors*", "skipped", "time", "timestamp", "hostname"},
        {"properties", "testcase", "system-out", "system-err"},
    ),
    "properties": (set(), {"property"}),
    "property": ({"name*", "value*"}, set()),
    "testcase": (
        {"name*", "classname", "time"},
        {"skipped", "error", "failure", "system-out", "system-err"},
    ),
    "failure": ({"type", "message"}, set()),
    "error": ({"type", "message"}, set()),
    "skipped": ({"type", "message"}, set()),
    "system-out": (set(), set()),
}


def shaped(element):
    """Assert that an element and all below it have the shape that readers take."""
    attributes, children = SHAPE[element.tag]
    assert set(element.attrib) <= {name.rstrip("*") for name in attributes}, element.tag
    assert {name[:-1] for name in attributes if name.endswith("*")} <= set(element.attrib)
    assert {child.tag for child in element} <= children, element.tag
    for child in element:
        shaped(child)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"flops": 9e9},
        {"throughput": None},
        {"cells": ()},
        {"batch": 3},
        {"failed": Made().cells},
    ],
)
def test_junit_has_the_shape_that_jenkins_reads(tmp_path, change):
    root = ET.fromstring(junit_xml(outcome_of(tmp_path, Made(), Made(number=2, **change))))
    shaped(root)
    for suite in root:
        assert re.fullmatch(r"\d+(\.\d+)?", suite.get("time"))
        assert int(suite.get("tests")) == len(suite.findall("testcase")) > 0
        assert int(suite.get("skipped")) == len(suite.findall("testcase/skipped"))


def test_junit_of_nothing_is_an_error(tmp_path):
    missing = ET.fromstring(junit_xml(outcome_of(tmp_path, Made(), Made(cells=()))))
    assert sum(int(suite.get("skipped")) for suite in missing) == 2
    empty = ET.fromstring(junit_xml(Outcome("r", "b", (), {})))
    assert empty.get("errors") == "1"


def test_markdown_is_inert_and_tells_the_worst_first(tmp_path):
    cells = (EVIL, "pixel/shapes/ddim-4/g1/s0")
    new = Made(number=2, cells=cells, flops=9e9, own=2, fid=15.0)
    page = markdown(outcome_of(tmp_path, Made(cells=cells), new))
    assert page.startswith("## ldmbench gate: regressed: 2 regressed, ")
    assert "<script>" not in page
    rows = [line for line in page.splitlines() if line.startswith("| ") and "verdict" not in line]
    assert "regressed" in rows[0]
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 8 for row in rows)
    assert "<details>" in page


def test_the_terminal_shows_what_did_not_pass_in_80_columns(tmp_path):
    outcome = outcome_of(tmp_path, Made(), Made(number=2, throughput=80.0, own=2, fid=20.2))
    text = terminal(outcome)
    assert "regressed    throughput" in text
    assert "fid" not in text
    assert text.splitlines()[-1].startswith("regressed: 3 regressed")
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "fid" in terminal(outcome, everything=True)
