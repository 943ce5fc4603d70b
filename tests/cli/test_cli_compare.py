"""`ldmbench compare`: run ids, record files, cells of one run, exit codes."""

import json
from pathlib import Path

import numpy as np
import pytest

from ldmbench.cli import outcome
from ldmbench.cli.differences import lines
from ldmbench.records.runs import Runs
from ldmbench.schema.record import Record, Run, Score
from ldmbench.schema.stage import Cell

CELLS = ("ldm/shapes/ddim-10/g1/s0", "ldm/shapes/ddim-50/g1/s0")
Z = 1.959963984540054


def write_run(store, run, values, *, n=64, name="fid", stored="fid", ids=CELLS):
    """Write a run whose cells have these scores, with standard error 0.1 and 200 replicates."""
    all_runs = Runs(store)
    for index, (cell_id, value) in enumerate(zip(ids, values, strict=False)):
        key = f"{run}-{index}"
        folder = store / "scores" / key
        folder.mkdir(parents=True)
        common = np.random.default_rng(0).normal(size=200) * 0.1
        own = np.random.default_rng((len(run), index)).normal(size=200) * 0.02
        np.savez(folder / "replicates.npz", **{stored: value + common + own})
        cell = Cell(
            id=cell_id, model=cell_id.split("/")[0], dataset="shapes", sampler="ddim", steps=10,
            eta=0, guidance=1, count=n,
        )  # fmt: skip
        score = Score(
            name=name, value=value, low=value - Z * 0.1, high=value + Z * 0.1, confidence=0.95,
            n=n, signature=f"{name}|v1|n:{n}", protocol="shapes-v1", replicates=key,
        )  # fmt: skip
        all_runs.append(Record(run=run, cell=cell, status="done", scores=(score,)))
    started = f"2026-01-0{run[-1]}T00:00:00+00:00"
    all_runs.write_run(Run(id=run, suite="s", suite_digest="", state="done", started=started))


@pytest.fixture
def store(tmp_path):
    """A store with three runs: old, the same again, and a worse one."""
    root = tmp_path / "store"
    write_run(root, "old-1", [10.0, 5.0])
    write_run(root, "same-2", [10.001, 5.0])
    write_run(root, "worse-3", [11.0, 5.0])
    write_run(root, "fewer-4", [10.0, 5.0], n=32)
    return root


def compared(capsys, store, *arguments):
    code = outcome(["compare", *arguments, "--store", str(store), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_the_same(store, capsys):
    code, found = compared(capsys, store, "old", "same")
    assert code == 0
    assert found["verdict"] == "same"
    assert all("paired, 200 replicates" in row["method"] for row in found["comparisons"])


def test_what_differs_says_which_way(store, capsys):
    code, found = compared(capsys, store, "old", "worse")
    assert code == 1
    assert [row["change"] for row in found["comparisons"]] == ["worse", "same"]
    assert outcome(["compare", "old", "worse", "--store", str(store)]) == 1
    assert "10 -> 11  +1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "stored", "change"),
    [("truth_psnr", "psnr", "better"), ("mine.sharpness", "mine.sharpness", "differs")],
)
def test_scores_to_the_truth_and_of_ones_own_are_named_and_paired(
    store, capsys, name, stored, change
):
    write_run(store, "first-5", [20.0], name=name, stored=stored)
    write_run(store, "second-66", [25.0], name=name, stored=stored)
    code, found = compared(capsys, store, "first", "second", "--metrics", name)
    assert code == 1
    (row,) = found["comparisons"]
    assert "paired, 200 replicates" in row["method"]
    assert row["change"] == change


def test_unlike_numbers_are_refused(store, capsys):
    assert outcome(["compare", "old", "fewer", "--store", str(store)]) == 2
    assert "n is 64 in A and 32 in B" in capsys.readouterr().err


def test_too_few_to_tell(store, capsys):
    code, found = compared(capsys, store, "old", "same", "--margin", "1e-9")
    assert code == 3
    assert found["verdict"] == "undecided"


def test_a_record_file_brings_its_replicates(store, tmp_path, capsys):
    files = [str(store / f"runs/{run}/records.jsonl") for run in ("old-1", "same-2")]
    code, found = compared(capsys, tmp_path / "elsewhere", *files)
    assert code == 0
    assert "paired" in found["comparisons"][0]["method"]


def test_a_run_and_itself_are_the_very_same(store, capsys):
    code, found = compared(capsys, store, "old", "old", "--margin", "1e-9")
    assert code == 0
    assert {row["method"] for row in found["comparisons"]} == {"the very same artefact"}


def test_two_cells_of_one_run(store, capsys):
    code, found = compared(capsys, store, "old:*/ddim-10/*", "old:*/ddim-50/*")
    assert code == 1
    assert found["comparisons"][0]["difference"] == pytest.approx(-5)
    assert found["comparisons"][0]["change"] == "better"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["old", "nothing"], "no run 'nothing'"),
        (["old", "nothing.jsonl"], "no such record file"),
        (["old:nothing/*", "old"], "no cell; there are: ldm/shapes"),
        (["old", "same", "--metrics", "fidd"], "did you mean 'fid'?"),
        (["old", "same", "--metrics", "kid"], "no score of kid in common"),
        (["old", "same", "--confidence", "2"], "confidence must be between"),
    ],
)
def test_mistakes_are_one_sentence(store, capsys, arguments, message):
    assert outcome(["compare", *arguments, "--store", str(store)]) == 2
    assert message in capsys.readouterr().err


def test_a_damaged_record_file_is_named(tmp_path, capsys):
    file = tmp_path / "records.jsonl"
    file.write_text("{}\n")
    assert outcome(["compare", str(file), str(file)]) == 2
    assert "records.jsonl:1: is damaged" in capsys.readouterr().err


def test_files_without_their_store_say_that_intervals_alone_were_used(store, tmp_path, capsys):
    files = []
    for run in ("old-1", "worse-3"):
        files.append(tmp_path / f"{run}.jsonl")
        files[-1].write_bytes((store / f"runs/{run}/records.jsonl").read_bytes())
    words = ["compare", *map(str, files), "--store", str(tmp_path / "elsewhere")]
    assert outcome(words) == 1
    assert "fid unpaired: from the intervals" in capsys.readouterr().err
    outcome(["compare", "old", "worse", "--store", str(store)])
    assert "unpaired" not in capsys.readouterr().err


def test_rows_too_wide_for_a_terminal_take_two_lines():
    cells = [
        ["inception_score", "3.123 -> 3.456", "+0.333", "[+0.301, +0.365]", "p <0.001", "better"],
        ["kid", "0.002345 -> 0.003456", "+0.001111", "[+0.00101, +0.00122]", "p 0.012", "worse"],
        ["own", "", "", "", "", "no interval"],
    ]
    told = lines(cells)
    assert [len(row) for row in told] == [2, 2, 1]
    assert all(len(line) <= 78 for row in told for line in row)
    assert [len(row) for row in lines(cells[2:])] == [1]


def test_a_table_in_a_file_stays_a_table_for_programs(store, tmp_path, capsys):
    table = tmp_path / "table.csv"
    words = ["report", "--store", str(store), "--json", "--format", "csv", "-o", str(table)]
    assert outcome(words) == 0
    assert json.loads(capsys.readouterr().out) == {"file": str(table)}
    assert table.read_text().startswith("run,cell,")


SWEEP = {
    f"ldm[f={f}]/shapes/{sampler}-{steps}/g1/s0": 40 / f + 20 / steps - (sampler == "dpm++") * 0.2
    for f in (4, 8)
    for sampler in ("ddim", "dpm++")
    for steps in (10, 50)
}


@pytest.fixture
def swept(tmp_path):
    """A store with one run of two models, two samplers and two step counts."""
    root = tmp_path / "store"
    write_run(root, "sweep-1", list(SWEEP.values()), ids=tuple(SWEEP))
    return root


@pytest.mark.parametrize("words", [("sweep", "*ddim*", "*dpm++*"), ("*/ddim-*", "*/dpm++-*")])
def test_two_groups_are_compared_over_the_other_axes(swept, capsys, words):
    code, found = compared(capsys, swept, *words)
    assert code == 1
    assert [(r["cell_a"], r["cell_b"]) for r in found["comparisons"]] == [
        (cell, cell.replace("ddim", "dpm++")) for cell in SWEEP if "ddim" in cell
    ]
    (mean,) = found["means"]
    assert mean["difference"] == pytest.approx(-0.2)
    assert mean["change"] == "better"
    assert mean["high"] - mean["low"] < 0.08  # one pair alone: 0.11
    assert "mean over 4 pairs, 200 replicates" in mean["method"]
    assert outcome(["compare", *words, "--store", str(swept)]) == 1
    told = capsys.readouterr().out
    assert "mean over all pairs: sampler ddim -> dpm++" in told
    assert "of 4 pairs: better in 4" in told


def test_groups_may_be_cells_of_one_model_against_another(swept, capsys):
    code, found = compared(capsys, swept, "sweep", "*f=4]*", "*f=8]*")
    assert code == 1
    assert len(found["comparisons"]) == 4
    assert found["means"][0]["difference"] == pytest.approx(-5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("*ddim-10*", "*dpm++-50*"), "sampler is ddim in A and dpm++ in B; steps is 10 in A"),
        (("*ddim*", "*f=4*"), "both match ldm[f=4]/shapes/ddim-10/g1/s0"),
        (("*ddim*", "*euler*"), "*euler*: no cell; there are: ldm[f=4]"),
        (("*-10/*", "*-50/*", "x", "y"), "4 words given; give A B, RUN 'GLOB' 'GLOB'"),
        (("sweep",), "1 word given"),
    ],
)
def test_groups_that_are_no_question_are_refused(swept, capsys, words, message):
    words = words if len(words) != 2 else ("sweep", *words)
    assert outcome(["compare", *words, "--store", str(swept)]) == 2
    assert message in capsys.readouterr().err


def test_one_group_alone_says_what_is_missing(swept, capsys):
    assert outcome(["compare", "sweep-1", "*ddim*", "--store", str(swept)]) == 2
    assert "give a second GLOB" in capsys.readouterr().err


def test_the_best_cell_and_those_that_are_not_told_apart_from_it(swept, capsys):
    write_run(swept, "sweep-2", [5.0, 5.001, 5.4], ids=tuple(SWEEP))
    code, found = compared(capsys, swept, "sweep-2", "--best")
    assert code == 1
    (best,) = found["best"]
    assert (best["name"], best["dataset"], best["cells"]) == ("fid", "shapes", 3)
    assert best["best"] == next(iter(SWEEP))
    assert best["undistinguished"] == 1
    assert [row["change"] for row in best["rows"]] == ["same", "worse"]
    assert all("paired" in row["method"] for row in best["rows"])
    assert outcome(["compare", "--best", "--store", str(swept)]) == 1  # the last run
    assert "1 of 2 other cells not distinguished from it" in capsys.readouterr().out


def test_the_best_needs_a_run_and_a_better_way(swept, capsys):
    for words, message in (
        (("sweep-1", "sweep-2"), "--best takes one run"),
        (("sweep-1", "--metrics", "kid"), "no two cells have a score of kid"),
        (("sweep-1", "--metrics", "fidd"), "did you mean 'fid'?"),
        (("sweep-1", "--margin", "0"), "margin above 0"),
    ):
        assert outcome(["compare", *words, "--best", "--store", str(swept)]) == 2
        assert message in capsys.readouterr().err


def reported(capsys, store, *arguments):
    code = outcome(["report", *arguments, "--store", str(store)])
    return code, capsys.readouterr()


@pytest.mark.parametrize("form", ["markdown", "latex", "csv", "json"])
def test_a_report_of_some_cells_and_scores(swept, capsys, form):
    words = ("--format", form, "--only", "*/ddim-*", "--metrics", "fid")
    code, told = reported(capsys, swept, "sweep-1", *words)
    assert code == 0
    assert "dpm++" not in told.out
    assert "ddim" in told.out or form in ("markdown", "latex")
    assert "fid" in told.out.lower()


def test_a_page_of_some_cells_leaves_the_page_of_the_run(swept, capsys):
    _, whole = reported(capsys, swept, "sweep-1")
    _, part = reported(capsys, swept, "sweep-1", "--only", "*/ddim-*")
    assert whole.out.strip().endswith("/reports/sweep-1.html")
    assert part.out.strip().endswith("/reports/sweep-1-part.html")
    assert "dpm++" in Path(whole.out.strip()).read_text()
    page = Path(part.out.strip()).read_text()
    assert "dpm++" not in page[: page.index('id="bundle"')]


def test_a_report_of_nothing_is_refused(swept, capsys):
    for words, message in (
        (("--only", "*euler*"), "*euler*: no cell; there are: ldm[f=4]"),
        (("--metrics", "fidd"), "did you mean 'fid'?"),
        (("--metrics", "kid"), "no cell has kid; the run has: fid"),
    ):
        code, told = reported(capsys, swept, "sweep-1", "--format", "csv", *words)
        assert code == 2
        assert message in told.err
