"""The Python API: what the commands do, as functions that return and raise."""

import html
import runpy
import subprocess
import sys
from pathlib import Path

import altair
import numpy as np
import pandas as pd
import pytest
import tiny
from ruamel.yaml import YAML

import ldmbench
from ldmbench.cli import outcome
from ldmbench.metrics import frechet_distance

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    folder = tmp_path_factory.mktemp("api")
    store = folder / "store"
    run = ldmbench.run(tiny.write_suite(folder), store=store, set={"sample.count": 8})
    return run, store


def test_public_names_are_sorted_and_there():
    assert ldmbench.__all__ == sorted(ldmbench.__all__)
    assert all(hasattr(ldmbench, name) for name in ldmbench.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ldmbench.nothing


def test_packages_hide_no_function():
    """After everything was imported, `ldmbench.gate` is still the function."""
    code = (
        "import ldmbench, ldmbench.cli, ldmbench.gating, ldmbench.cli.gate, ldmbench.api\n"
        "assert all(callable(getattr(ldmbench, n)) for n in ldmbench.__all__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_run_has_records_a_table_and_figures(ended):
    run, store = ended
    assert run.state == "done"
    assert not run.failed
    assert [cell.id for cell in run.cells] == [r.cell.id for r in run.records]
    assert {s.n for r in run.records for s in r.scores} == {8}
    table = run.table()
    assert isinstance(table, pd.DataFrame)
    assert list(table.cell) == [cell.id for cell in run.cells]
    assert table.fid.tolist() == [r.scores[0].value for r in run.records]
    assert run.figures
    assert all(isinstance(figure, altair.TopLevelMixin) for figure in run.figures.values())
    assert run.report().read_text().startswith("<!DOCTYPE html>")
    assert ldmbench.open(store=store) == run
    assert ldmbench.open(run.id[:-2], store=store) == run
    file = store / "runs" / run.id / "records.jsonl"
    assert ldmbench.open(file).records == run.records


def test_the_same_suite_again_executes_nothing(ended, tmp_path):
    run, store = ended
    again = ldmbench.run(tiny.write_suite(tmp_path), store=store, set={"sample.count": 8})
    assert again == run


def test_a_suite_may_be_a_dict(ended):
    run, store = ended
    suite = YAML(typ="safe").load(tiny.SUITE)
    suite["sample"] |= {"count": 8, "steps": (2, 3)}
    again = ldmbench.run(suite, store=store)
    assert again.records == run.records
    suite["sample"]["steps"] = {2, 3}
    with pytest.raises(ldmbench.InputError, match="found: set"):
        ldmbench.run(suite, store=store)
    with pytest.raises(ldmbench.InputError, match=r"suite:\d+: sample\.stepz: .*'steps'"):
        ldmbench.run(suite | {"sample": {"stepz": 3}}, store=store)


def test_runs_are_compared(ended):
    run, store = ended
    found = ldmbench.compare(run, run.id, metrics=["fid"], store=store)
    assert found.verdict == "same"
    assert {row.name for row in found.rows} == {"fid"}
    steps = ldmbench.compare(f"{run.id}:*/ddim-2/*", f"{run.id}:*/ddim-3/*", store=store)
    assert {row.name for row in steps.rows} == {"fid", "precision"}


def test_features_are_scored(tmp_path):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(40, 6)), rng.normal(1, 1, size=(50, 6))
    for name, rows in (("a", a), ("b", b)):
        np.savez(tmp_path / f"{name}.npz", features=rows)
    found = ldmbench.score(
        tmp_path / "a.npz", reference=tmp_path / "b.npz", metrics=["fid"], store=tmp_path / "s"
    )
    (record,) = found.records
    assert record.scores[0].value == pytest.approx(frechet_distance(a, b), rel=1e-9)
    assert record.scores[0].low < record.scores[0].value < record.scores[0].high
    assert found.table().fid.tolist() == [record.scores[0].value]
    page = found.report()
    assert page.name == f"{found.id}.html"
    assert record.scores[0].signature in html.unescape(page.read_text(encoding="utf-8"))
    with pytest.raises(ldmbench.InputError, match="metrics="):
        ldmbench.score(tmp_path / "a.npz", reference=tmp_path / "b.npz", metrics="fid")
    with pytest.raises(ldmbench.InputError, match="no such folder or file"):
        ldmbench.score(tmp_path / "no", reference=tmp_path / "b.npz", store=tmp_path / "s")


def test_a_run_is_gated(ended, tmp_path):
    run, store = ended
    base = tmp_path / "base.json"
    assert outcome(["accept", run.id, "--store", str(store), "-o", str(base)]) == 0
    for judged in (run, run.id):
        found = ldmbench.gate(judged, baseline=base, store=store)
        assert (found.verdict, found.exit_code) == ("pass", 0)


def test_mistakes_raise_one_error(ended, tmp_path):
    run, store = ended
    suite = tiny.write_suite(tmp_path)
    calls = [
        (lambda: ldmbench.run(suite, set={"sample.stepz": 3}, store=tmp_path), "stepz"),
        (lambda: ldmbench.run(suite, only="*", store=tmp_path), r"only=\['\*'\]"),
        (lambda: ldmbench.run(suite, executor="slurm", store=tmp_path), "local, ray"),
        (lambda: ldmbench.run(suite, devices=0, store=tmp_path), "devices=0; allowed: a whole"),
        (lambda: ldmbench.run(tmp_path / "no.yaml", store=tmp_path), "no such suite"),
        (lambda: ldmbench.open("no", store=store), "no run"),
        (lambda: ldmbench.gate(run, baseline=tmp_path / "no.json"), "no.json"),
        (lambda: ldmbench.gate(run, baseline=suite, noise="pass"), "refuse, note"),
        (lambda: ldmbench.compare(run, run, metrics=["fidd"]), "did you mean 'fid'"),
        (lambda: ldmbench.load(tmp_path / "no"), "no"),
    ]
    for call, said in calls:
        with pytest.raises(ldmbench.LdmbenchError, match=said):
            call()


@pytest.mark.slow
def test_the_example_runs(capsys):
    runpy.run_path(str(ROOT / "examples" / "notebook" / "first_steps.py"))
    told = capsys.readouterr().out
    assert "pixel/shapes/ddim-8/g1/s0" in told
    assert "did you mean 'steps'?" in told
    assert "did you mean 'fid'?" in told
