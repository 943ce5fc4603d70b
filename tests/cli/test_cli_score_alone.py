"""`ldmbench score` of fd_infinity, vendi_score and memorization: what the public functions give."""

import shutil

import numpy as np
import pytest
import tiny
from scoring import scored, write_features, write_images

from ldmbench.cli import outcome
from ldmbench.metrics import bootstrap, fd_infinity, memorization, vendi_score
from ldmbench.records.runs import Runs


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("LDMBENCH_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


def refused(capsys, *arguments):
    assert outcome(["score", *map(str, arguments)]) == 2
    shown = capsys.readouterr().err
    assert len(shown.splitlines()) == 1
    return shown


def test_files_of_features_give_what_the_functions_give(tmp_path, store, capsys):
    files = [write_features(tmp_path / f"{n}.npz", n, 60 + n) for n in range(3)]
    x, y, seen = (np.load(file)["features"] for file in files)
    scores, _ = scored(
        capsys, files[0], "--reference", files[1], "--train", files[2],
        "--metrics", "memorization,vendi_score,fd_infinity",
    )  # fmt: skip
    far, vendi, close = scores["fd_infinity"], scores["vendi_score"], scores["memorization"]
    assert far["value"] == pytest.approx(fd_infinity(x, y).value, rel=1e-12)
    assert vendi["value"] == pytest.approx(vendi_score(x), rel=1e-9)
    assert close["value"] == pytest.approx(memorization(x, seen, y).share, rel=1e-12)
    again = (
        bootstrap("fd_infinity", x, y),
        bootstrap("vendi_score", x),
        bootstrap("memorization", x, seen, y),
    )
    for found, made in zip((far, vendi, close), again, strict=True):
        assert found["low"] == pytest.approx(made.low, rel=1e-12)
        assert found["high"] == pytest.approx(made.high, rel=1e-12)
        assert found["low"] < found["value"] < found["high"]
        assert found["n"] == 60
    assert "|n:60|m:61|" in far["signature"]
    assert far["signature"].endswith("|points:15|seed:2020")
    assert vendi["signature"].endswith("|kernel:cosine")
    assert "|ref:" not in vendi["signature"]
    assert "|train:features6-file@" in close["signature"]
    assert "|t:62|" in close["signature"]


def test_a_training_set_alone_asks_for_memorization(tmp_path, store, capsys):
    a, b = (write_features(tmp_path / f"{n}.npz", i, 60) for i, n in enumerate("ab"))
    scores, _ = scored(capsys, a, "--reference", b, "--train", a)
    assert set(scores) == {"fid", "kid", "precision", "recall", "memorization"}
    assert scores["memorization"]["value"] == 1.0
    assert scores["memorization"]["method"].endswith("exact copies: 60")


def test_what_is_missing_is_one_sentence(tmp_path, store, capsys):
    a, b = (write_features(tmp_path / f"{n}.npz", i, 60) for i, n in enumerate("ab"))
    few = write_features(tmp_path / "few.npz", count=19)
    wide = write_features(tmp_path / "wide.npz", count=60, width=7)
    np.savez(tmp_path / "stats.npz", mu=np.zeros(6), sigma=np.eye(6))
    copied = shutil.copy(b, tmp_path / "copied.npz")
    asked = ("--metrics", "memorization", "--reference", b)
    assert "Missing option '--train'" in refused(capsys, a, *asked)
    assert "wide.npz 7;" in refused(capsys, a, *asked, "--train", wide)
    assert "mean and covariance" in refused(capsys, a, *asked, "--train", tmp_path / "stats.npz")
    assert "did not see" in refused(capsys, a, *asked, "--train", copied)
    assert "Missing option '--reference'" in refused(capsys, a, "--train", b)
    said = refused(capsys, few, "--reference", b, "--metrics", "vendi_score,fd_infinity")
    assert "19 found, at least 20 are needed by fd_infinity" in said


def test_images_on_both_sides_are_told(tmp_path, store, capsys):
    seen, unseen = write_images(tmp_path / "seen"), write_images(tmp_path / "unseen", 1)
    asked = ("--metrics", "memorization", "--train", seen, "--reference")
    assert "all of the reference" in refused(capsys, seen, *asked, seen)
    built = tmp_path / "built.npz"
    assert outcome(["reference", "build", str(seen), "-o", str(built)]) == 0
    capsys.readouterr()
    assert "all of the reference" in refused(capsys, seen, *asked, built)
    shutil.copy(seen / "000.png", unseen / "copy.png")
    scores, warnings = scored(capsys, seen, *asked, unseen)
    assert scores["memorization"]["value"] == pytest.approx(0.98)  # one tie of 25
    assert any("1 of 25 images are in the training set" in text for text in warnings)


@pytest.mark.slow
def test_a_suite_has_them_too(tmp_path, store, capsys):
    text = tiny.SUITE.replace("[fid, precision]", "[fd_infinity, vendi_score, memorization]")
    path = tiny.write_suite(
        tmp_path, text.replace("steps: [2, 3], count: 16", "steps: 2, count: 24")
    )
    assert outcome(["run", str(path), "--json"]) == 0
    all_runs = Runs(store)
    (record,) = all_runs.records(all_runs.find().id)
    found = {s.name: s for s in record.scores}
    stages = {s.key: s for s in all_runs.plan(all_runs.find().id).stages}

    def rows(role):
        given = stages[record.cell.stages["shapes-v1:memorization"]].inputs[role]
        folders = sorted((store / "features" / given.key).iterdir())
        return np.concatenate([np.load(f / "features.npy") for f in folders])[: given.count]

    x, y, seen = rows("generated"), rows("reference"), rows("train")
    assert len(x) == 24
    assert found["fd_infinity"].value == pytest.approx(fd_infinity(x, y).value, rel=1e-9)
    assert found["vendi_score"].value == pytest.approx(vendi_score(x), rel=1e-9)
    assert found["memorization"].value == pytest.approx(memorization(x, seen, y).share)
    assert "|ref:shapes16-reference@" in found["memorization"].signature
    assert "|train:shapes16-train@" in found["memorization"].signature
    assert "|t:32|" in found["memorization"].signature
    capsys.readouterr()
    assert outcome(["compare", all_runs.find().id, all_runs.find().id]) == 0
    assert "memorization" in capsys.readouterr().out
