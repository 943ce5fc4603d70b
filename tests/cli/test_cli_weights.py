"""`ldmbench weights`: list, verify and import through the door."""

import json

import pytest
from tiny import SUITE, write_suite

from ldmbench.cli import outcome
from ldmbench.schema.weights import WEIGHTS


@pytest.fixture(autouse=True)
def own_weights(tmp_path, monkeypatch):
    """Use an empty folder of weights."""
    monkeypatch.setenv("LDMBENCH_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("LDMBENCH_OFFLINE", "1")


def test_list_shows_every_row_with_digest_licence_and_place(tmp_path, capsys):
    assert outcome(["weights", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows) == {w.name for w in WEIGHTS}
    row = rows["inception-v3-compat"]
    assert row["state"] == "missing"
    assert row["sha256"].startswith("6726825d")
    assert row["licence"] == "Apache-2.0"
    assert row["path"].startswith(str(tmp_path / "weights"))


def test_list_for_people(capsys):
    assert outcome(["weights", "list"]) == 0
    shown = capsys.readouterr()
    assert "inception-v3-clean" in shown.out
    assert "weights import FILE" in shown.err


def test_verify_names_what_is_missing_and_what_is_damaged(tmp_path, capsys):
    assert outcome(["weights", "verify", "lpips-vgg"]) == 2
    assert "is not at" in capsys.readouterr().err
    file = tmp_path / "weights/lpips-vgg/lpips-v0.1-vgg.pth"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"not these")
    assert outcome(["weights", "verify", "lpips-vgg", "--json"]) == 2
    shown = capsys.readouterr()
    assert json.loads(shown.out)[0]["state"] == "damaged"
    assert "remove it" in shown.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verify", "lpips-vg"], "unknown weights 'lpips-vg' (did you mean 'lpips-vgg'?)"),
        (["import", "nothing.pth"], "is no file"),
        (["import", __file__], "which no known weights have"),
        (["lst"], "No such command 'lst'"),
    ],
)
def test_mistakes_are_one_sentence(arguments, message, capsys):
    assert outcome(["weights", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_run_says_what_is_missing_before_it_trains(tmp_path, capsys):
    suite = str(write_suite(tmp_path, SUITE + "protocol: torch-fidelity\n"))
    assert outcome(["plan", suite, "--json"]) == 0
    weights = json.loads(capsys.readouterr().out)["weights"]
    assert [row["name"] for row in weights] == ["inception-v3-compat"]
    assert outcome(["plan", suite]) == 0
    told = capsys.readouterr().out
    assert "weights to fetch or import first: inception-v3-compat (95.6 MB)" in told
    assert outcome(["run", suite]) == 2
    told = capsys.readouterr().err
    assert "95,628,359 bytes, sha256 6726825d" in told
    assert "weights import FILE" in told
    assert outcome(["status"]) == 2
    assert "no run in" in capsys.readouterr().err


def test_weights_to_import_by_name_are_told_by_plan_and_refused_by_run(tmp_path, capsys):
    protocol = "protocol: {base: shapes-v1, extractor: dinov2-vit-l-14-edm2}\n"
    suite = str(write_suite(tmp_path, SUITE + protocol))
    assert outcome(["plan", suite]) == 0
    assert "import first: dinov2-vit-l-14 (import --as dinov2-vit-l-14)" in capsys.readouterr().out
    assert outcome(["run", suite]) == 2
    assert "weights import FILE --as dinov2-vit-l-14" in capsys.readouterr().err


def test_all_missing_weights_are_told_at_once(tmp_path, capsys):
    suite = write_suite(tmp_path, SUITE + "protocol: [torch-fidelity, clean-fid]\n")
    assert outcome(["run", str(suite)]) == 2
    told = capsys.readouterr().err.splitlines()
    assert [line.split("'")[1] for line in told] == ["inception-v3-compat", "inception-v3-clean"]
