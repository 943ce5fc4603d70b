from __future__ import annotations

import io
import json
import shutil
import subprocess

import pandas as pd
import pytest
from fake_records import EVIL, fake

from ldmbench.errors import InputError
from ldmbench.report import FORMATS, render
from ldmbench.report.findings import findings_of
from ldmbench.report.lines import lined, longest
from ldmbench.report.notices import notices_of
from ldmbench.report.points import front, points_of
from ldmbench.report.quantities import fields_of, number, quantity_of, scale_of, with_interval
from ldmbench.report.subject import describe
from ldmbench.report.tables import build, group_table
from ldmbench.schema.record import Measure, Score


def test_best_is_marked_once_per_dataset_and_signature(tmp_path):
    _, records, _ = fake(tmp_path, pictures=False)
    table = build(records)
    best = [r.record.cell for r in table.rows if r.entries["fid"].best]
    assert {c.dataset for c in best} == {"shapes", "shapes_fine"}
    for cell in best:
        rivals = [r for r in table.rows if r.record.cell.dataset == cell.dataset]
        lowest = min(rivals, key=lambda r: r.entries["fid"].value)
        assert lowest.record.cell == cell


def test_higher_is_better_where_it_is(tmp_path):
    _, records, _ = fake(tmp_path, datasets=("shapes",), pictures=False)
    rows = build(records).rows
    (best,) = [r for r in rows if r.entries["throughput"].best]
    assert best.entries["throughput"].value == max(r.entries["throughput"].value for r in rows)


def test_unlike_signatures_are_never_rivals(small):
    _, _, records, _ = small
    done = [r for r in records if r.status == "done"]
    odd = done[1].model_copy(
        update={"scores": (Score(name="fid", value=0.1, n=9, signature="fid|v2|feat:x"),)}
    )
    rows = build([done[0], odd, *done[2:]]).rows
    entries = [e for r in rows for k, e in r.entries.items() if k.startswith("fid")]
    assert [e.value for e in entries if e.best] == [min(e.value for e in entries if e.value > 1)]
    assert len({k for r in rows for k in r.entries if k.startswith("fid")}) == 2


def test_two_protocols_make_two_columns(tmp_path):
    protocols = ("shapes-net@6726825d", "inception-v3-compat@11112222")
    _, records, _ = fake(tmp_path, pictures=False, protocols=protocols)
    keys = [c.key for c in build(records).columns]
    assert "fid[shapes-net]" in keys
    assert "fid[inception-v3-compat]" in keys
    assert "clip_score" in keys


def test_overlapping_intervals_are_tied(tmp_path):
    _, records, _ = fake(tmp_path, datasets=("shapes",), pictures=False)
    entries = [r.entries["fid"] for r in build(records).rows]
    (best,) = [e for e in entries if e.best]
    for e in entries:
        assert e.tied == (e is not best and e.low <= best.high)


def test_cells_of_one_model_are_one_row_of_training_cost(tmp_path):
    _, records, _ = fake(tmp_path, pictures=False)
    rows = group_table(build(records), "training").rows
    assert len(rows) == 6 * 2
    assert rows[0].leading == ("ldm[f=1]", "shapes")


def test_the_identity_is_no_best_first_stage(tmp_path):
    _, records, _ = fake(tmp_path, pictures=False, datasets=("shapes",))
    best = {r.record.cell.f for r in build(records).rows if r.entries["rfid"].best}
    assert best == {2}


def test_notices_put_failures_first_and_name_embedded_evaluators(small):
    _, run, records, _ = small
    notices = notices_of(run, build(records))
    assert notices[0].kind == "failure"
    assert "out of memory" in notices[0].text
    assert notices[0].cells == ("ldm[f=8]/shapes/ddim-50/g1/s0",)
    assert any("not Inception FID" in n.text for n in notices)
    energy = next(n for n in notices if n.title.startswith("Energy"))
    assert "5 of 5" in energy.title
    assert energy.cells == ()


def test_an_interrupted_stale_run_says_so(small):
    _, run, records, _ = small
    run = run.model_copy(update={"state": "interrupted", "notes": ("the disk was nearly full",)})
    few = "n = 10 samples for 2,048 features"
    stale = records[0].model_copy(update={"stale": ("samples",), "warnings": (few,)})
    titles = [n.title + n.text for n in notices_of(run, build([stale, *records[1:]]))]
    assert any("was interrupted" in t for t in titles)
    assert any("--fresh samples" in t for t in titles)
    assert any("nearly full" in t for t in titles)
    assert any(few in t and "1 of " in t for t in titles)


def test_cells_timed_on_a_busy_machine_are_named(small):
    _, run, records, _ = small

    def timed(record, seconds):
        stick = Measure(name="yardstick", value=seconds, unit="s", device="Some CPU")
        return record.model_copy(update={"measures": (*record.measures, stick)})

    calm = [timed(record, 0.02 + 0.001 * i) for i, record in enumerate(records)]
    assert not [n for n in notices_of(run, build(calm)) if n.title.startswith("Timed")]
    (told,) = (
        n
        for n in notices_of(run, build([*calm[:-1], timed(records[-1], 0.5)]))
        if n.title.startswith("Timed")
    )
    assert told.cells == (records[-1].cell.id,)
    assert "--fresh speed" in told.text


def test_csv_and_json_round_trip_through_pandas(small):
    folder, run, records, extras = small
    text = {f: render(run, records, extras, folder=folder, format=f) for f in ("csv", "json")}
    csv = pd.read_csv(io.StringIO(text["csv"]))
    js = pd.read_json(io.StringIO(text["json"]), precise_float=True)
    assert list(csv.columns) == list(js.columns)
    assert len(csv) == len(js) == len(records)
    for record, rows in zip(records, json.loads(text["json"]), strict=True):
        fid = next((s.value for s in record.scores if s.name == "fid"), None)
        assert rows["fid"] == fid
    for value, same in zip(csv["fid"], js["fid"], strict=True):
        assert value == same or (pd.isna(value) and pd.isna(same))
    for record, value in zip(records, csv["fid"], strict=True):
        fid = next((s.value for s in record.scores if s.name == "fid"), None)
        assert value == fid or (fid is None and pd.isna(value))
    again = csv.to_csv(index=False, lineterminator="\n")
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(again)), csv)
    assert csv["throughput_unit"].dropna().unique().tolist() == ["images/s"]


def test_markdown_is_a_github_table_and_names_are_inert(tmp_path):
    made = fake(tmp_path, models=(*EVIL, "a|b"), downsampling=(4, 8), steps=(10,), pictures=False)
    text = render(*made, folder=tmp_path, format="markdown")
    assert "<script" not in text
    table = text.split("## Quality\n\n")[1].split("\n\n")[0].splitlines()
    bars = {line.replace("\\|", "").count("|") for line in table}
    assert len(bars) == 1
    assert len(table) == 2 + len(made[1])
    assert "**" in table[2] + table[3] + "".join(table)


def test_latex_is_booktabs_with_bold_best(small):
    folder, run, records, extras = small
    text = render(run, records, extras, folder=folder, format="latex")
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 4
    assert r"\mathbf{" in text
    assert r"\pm" in text
    assert "[f=4]" in text
    for line in text.splitlines():
        if line.endswith(r"\\") and "&" in line and "Model" in line:
            width = line.count("&")
        elif line.endswith(r"\\") and "&" in line:
            assert line.count("&") == width


def test_latex_escapes_names_and_breaks_long_tables(tmp_path):
    made = fake(tmp_path, models=("a_b%c&d$e#f{g}~^\\é漢",), pictures=False)
    text = render(*made, folder=tmp_path, format="latex")
    assert r"a\_b\%c\&d\$e\#f\{g\}\textasciitilde{}\textasciicircum{}\textbackslash{}\'e?" in text
    assert r"\begin{longtable}" in text


def test_a_format_that_does_not_exist_is_named(small):
    folder, run, records, extras = small
    with pytest.raises(InputError, match="did you mean 'markdown'"):
        render(run, records, extras, folder=folder, format="markdwn")
    assert sorted(FORMATS) == ["csv", "html", "json", "latex", "markdown"]


@pytest.mark.parametrize("format", ["markdown", "latex", "csv", "json"])
def test_a_run_without_records_still_renders(small, format):
    folder, run, _, extras = small
    assert render(run, [], extras, folder=folder, format=format) is not None


def test_numbers_read_well():
    assert [number(v) for v in (0, 12.3456, 0.9, 200.0, -3.21987, 1.5e-9, 2e15)] == [
        "0", "12.35", "0.9", "200", "-3.22", "1.500e-09", "2.000e+15",
    ]  # fmt: skip
    assert with_interval(8.9217, 8.36, 9.48) == ("8.92", "0.56")
    assert with_interval(1234.0, 1200.0, 1268.0) == ("1234", "34")
    assert with_interval(0.00991, 0.0089, 0.0109) == ("0.0099", "0.0010")


def test_columns_share_one_scale():
    assert scale_of([1.5e9, 2e6], "FLOP").unit == "GFLOP"
    assert scale_of([0.2, 0.01], "s").unit == "ms"
    assert scale_of([3 * 2**30], "bytes").unit == "GiB"
    assert scale_of([50.0], "1").unit == ""
    assert scale_of([], "s").unit == "s"


def test_a_signature_splits_into_its_fields():
    fields = fields_of("fid|v1|feat:shapes-net@ab|ref:x@1:2|n:5")
    assert fields == {
        "metric": "fid", "version": "v1", "feat": "shapes-net@ab", "ref": "x@1:2", "n": "5",
    }  # fmt: skip


@pytest.mark.slow
def test_latex_compiles(tmp_path):
    compiler = shutil.which("pdflatex")
    if compiler is None:
        pytest.skip("pdflatex is not installed (Debian: texlive-latex-recommended)")
    made = fake(tmp_path, models=("ldm", "a_b%c&d$e#f{g}~^\\é漢"), failed=(8,), pictures=False)
    few = fake(tmp_path, downsampling=(1, 4), steps=(10,), pictures=False)
    body = "".join(render(*m, folder=tmp_path, format="latex") for m in (made, few))
    assert r"\begin{longtable}" in body
    packages = "booktabs,graphicx,longtable"
    (tmp_path / "t.tex").write_text(
        rf"\documentclass{{article}}\usepackage{{{packages}}}\usepackage[landscape]{{geometry}}"
        rf"\begin{{document}}{body}\end{{document}}"
    )
    for _ in range(2):
        command = [compiler, "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
        assert done.returncode == 0, done.stdout[-1500:].decode(errors="replace")
    assert (tmp_path / "t.pdf").stat().st_size > 10_000


def _likened(record, **changes):
    """Return a record with the fields of its cell and of its FID changed."""
    fid = changes.pop("fid", {})
    scores = tuple(s.model_copy(update=fid) if s.name == "fid" else s for s in record.scores)
    cell = record.cell.model_copy(update=changes)
    return record.model_copy(update={"cell": cell, "scores": scores})


def test_protocols_that_differ_in_the_count_alone_keep_both_scores(tmp_path):
    _, records, _ = fake(tmp_path, datasets=("shapes",), pictures=False)
    few = "fid|v1|feat:shapes-net@6726825d|ref:r@1|n:100|dtype:f32"
    both = [
        r.model_copy(
            update={
                "scores": (
                    *r.scores,
                    Score(name="fid", value=90.0, n=100, signature=few, protocol="few"),
                )
            }
        )
        for r in records
    ]
    table = build(both)
    keys = [c.key for c in table.columns if c.quantity.name == "fid"]
    assert keys == ["fid[shapes-net]", "fid[few]"]
    assert {r.entries["fid[few]"].value for r in table.rows} == {90.0}
    best = next(f for f in findings_of(table) if f.topic == "Best FID (shapes-net)")
    assert best.text.startswith("512 samples")
    assert all(p["quality"] != 90.0 for p in points_of(both, "fid"))


def test_what_follows_the_dataset_parts_no_column_and_loses_no_point(tmp_path):
    _, records, _ = fake(tmp_path, pictures=False)
    cropped = [
        _likened(r, fid={"signature": next(
            s.signature for s in r.scores if s.name == "fid").replace("crop:center", "crop:none")})
        if r.cell.dataset == "shapes_fine" else r
        for r in records
    ]  # fmt: skip
    table = build(cropped)
    assert [c.key for c in table.columns if c.quantity.name == "fid"] == ["fid"]
    assert {f.dataset for f in findings_of(table)} == {"shapes", "shapes_fine"}
    assert len(points_of(cropped, "fid")) == len(records)


def test_rows_say_by_which_timesteps_and_arithmetic_they_were_sampled(tmp_path):
    _, records, _ = fake(tmp_path, datasets=("shapes",), downsampling=(4,), pictures=False)
    swept = [
        _likened(r, timesteps=rule, axes={**r.cell.axes, "precision": kind})
        for r in records
        for rule in ("leading", None)
        for kind in ("float32", "bfloat16")
    ]
    table = build(swept)
    assert table.vary == ("steps", "timesteps", "precision")
    assert len({row.leading for row in table.rows}) == len(swept)
    assert ("ldm[f=4]", "10", "own", "bfloat16") in {row.leading for row in table.rows}
    assert len({p["line"] for p in lined(points_of(swept, "fid"), "steps")}) == 4


def test_unlike_numbers_are_ranked_nowhere(tmp_path):
    _, records, _ = fake(
        tmp_path, datasets=("shapes",), downsampling=(4, 8), steps=(10,), pictures=False
    )
    far, near = records
    raw = next(s.signature for s in near.scores if s.name == "fid") + "|model:raw"
    odd = _likened(near, fid={"value": 0.5, "low": 0.4, "high": 0.6, "signature": raw})
    table = build([far, odd])
    assert not [f for f in findings_of(table) if f.topic.startswith(("Best", "Fastest"))]
    points = points_of([far, odd], "fid")
    marked = front(points, "throughput", quantity_of("fid"), more=True)
    assert {p["front"] for p in marked} == {"on the front"}
    assert describe("t", quantity_of("fid"), lined(points)).count("the best is") == 2
    alone = findings_of(build([far]))
    assert [f.topic for f in alone] == ["FID"]


def test_a_model_shows_its_most_steps_on_each_dataset(tmp_path):
    _, records, _ = fake(tmp_path, downsampling=(4,), steps=(200, 500), pictures=False)
    kept = [r for r in records if r.cell.dataset == "shapes" or r.cell.steps == 200]
    points = longest(points_of(kept, "fid"), "steps")
    assert {(p["dataset"], p["steps"]) for p in points} == {("shapes", 500), ("shapes_fine", 200)}


def test_a_number_of_a_failed_cell_was_measured(small):
    _, run, records, _ = small
    done = next(r for r in records if r.status == "done")
    failed = done.model_copy(update={"status": "failed", "reason": "speed: no memory"})
    titles = [n.title for n in notices_of(run, build([failed]))]
    assert not any("Nothing was measured" in t for t in titles)
    empty = failed.model_copy(update={"scores": (), "measures": ()})
    assert any("Nothing was measured" in n.title for n in notices_of(run, build([empty])))
