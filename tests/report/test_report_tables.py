from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from fake_records import EVIL, fake

from ldmbench.errors import InputError
from ldmbench.records.choice import with_choices
from ldmbench.report import FORMATS, render
from ldmbench.report.findings import findings_of
from ldmbench.report.lines import lined, longest
from ldmbench.report.notices import notices_of
from ldmbench.report.points import front, points_of
from ldmbench.report.quantities import number, quantity_of, scale_of, with_interval
from ldmbench.report.seeds import pooled
from ldmbench.report.subject import describe
from ldmbench.report.tables import build, group_table
from ldmbench.schema.record import Extras, Measure, Run, Score
from ldmbench.schema.sample import Choose

FAKE_RUN = Run(id="r", suite="s", suite_digest="", state="done", started="2026-01-02T03:04:05")


def test_best_is_marked_once_per_dataset_and_signature(tmp_path):
    _, records, _ = fake(tmp_path, pictures=False)
    table = build(records)
    best = [r.record.cell for r in table.rows if r.entries["fid"].best]
    assert {c.dataset for c in best} == {"shapes", "shapes_fine"}
    for cell in best:
        rivals = [r for r in table.rows if r.record.cell.dataset == cell.dataset]
        lowest = min(rivals, key=lambda r: r.entries["fid"].value)
        assert lowest.record.cell == cell


def test_cells_of_other_tasks_are_no_rivals(tmp_path):
    _, records, _ = fake(tmp_path, datasets=("shapes",), pictures=False)
    tasks = ("layout", "semantic", None)
    parted = [
        r.model_copy(update={"cell": r.cell.model_copy(update={"conditioning": tasks[i % 3]})})
        for i, r in enumerate(records)
    ]
    rows = build(parted).rows
    for name in ("fid", "throughput"):
        best = [r.record.cell.conditioning for r in rows if r.entries[name].best]
        assert sorted(best, key=tasks.index) == list(tasks)
    for task in tasks:
        mine = [r for r in rows if r.record.cell.conditioning == task]
        (one,) = [r for r in mine if r.entries["fid"].best]
        assert one is min(mine, key=lambda r: r.entries["fid"].value)
    asked = [f for f in findings_of(build(parted)) if f.topic.startswith("Best FID")]
    assert len(asked) == 3
    assert all("cells of one task" in f.text for f in asked)


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


def replicated(records, own=0.02):
    """Give every FID replicates that move together but for a share `own` of their spread."""
    common = np.random.default_rng(0).normal(size=200)
    table, made = {}, []
    for i, r in enumerate(records):
        scores = []
        for s in r.scores:
            if s.name == "fid":
                error = (s.high - s.low) / 2 / 1.96
                moves = common + own * np.random.default_rng(i + 1).normal(size=200)
                table[r.cell.id] = s.value + error * moves / moves.std(ddof=1)
                s = s.model_copy(update={"replicates": r.cell.id})
            scores.append(s)
        made.append(r.model_copy(update={"scores": tuple(scores)}))
    return made, lambda score: table.get(score.replicates)


def test_cells_are_told_from_the_best_by_paired_differences_where_replicates_are(tmp_path):
    _, records, _ = fake(tmp_path, datasets=("shapes",), downsampling=(4,), pictures=False)
    apart = [r.entries["fid"] for r in build(records).rows]
    (best,) = [e for e in apart if e.best]
    near = [e for e in apart if e is not best and e.low <= best.high]
    assert near
    assert all(e.tied and "from the two intervals" in e.gap for e in near)
    paired = [r.entries["fid"] for r in build(*replicated(records)).rows]
    assert not any(e.tied for e in paired)
    assert all("in pairs" in e.gap for e in paired if not e.best)
    for format, mark in (("markdown", " ≈ |"), ("latex", r"^{\approx}")):
        texts = [
            render(FAKE_RUN, rs, Extras(), folder=tmp_path, format=format, replicates=of)
            for rs, of in ((records, lambda score: None), replicated(records))
        ]
        assert texts[0].count(mark) > texts[1].count(mark)


def test_measures_are_tied_where_intervals_overlap(tmp_path):
    _, records, _ = fake(tmp_path, datasets=("shapes",), steps=(10,), pictures=False)
    wide = [
        r.model_copy(
            update={
                "measures": tuple(
                    m.model_copy(update={"low": 0.0, "high": 1e9}) if m.name == "throughput" else m
                    for m in r.measures
                )
            }
        )
        for r in records
    ]
    entries = [r.entries["throughput"] for r in build(wide).rows]
    assert [e.best or e.tied for e in entries] == [True] * len(entries)


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


def test_cells_under_other_conditions_are_ranked_with_a_warning(small):
    _, run, records, _ = small
    given = [_likened(r, conditioning="inpainting", given={"mask": "thin"}) for r in records]
    titles = [n.title for n in notices_of(run, build(given))]
    assert not [title for title in titles if title.startswith("Conditions")]
    other = _likened(given[0], given={"mask": "thick"})
    (told,) = (n for n in notices_of(run, build([other, *given])) if "Conditions" in n.title)
    assert told.title == "Conditions differ: mask thick, thin"
    assert "those of another mask" in told.text


def test_a_faster_cell_is_named_with_what_makes_its_speed_doubtful(tmp_path):
    _, records, _ = fake(
        tmp_path, datasets=("shapes",), downsampling=(4,), steps=(50, 200), pictures=False
    )
    equal = {"value": 10.0, "low": 9.0, "high": 11.0}
    sticks = [Measure(name="yardstick", value=s, unit="s", device="CPU") for s in (0.1, 0.4)]
    for spread, stick, said in (
        (0.0, sticks[0], "times as fast as the best; its FID"),
        (9.0, sticks[0], "but the two intervals overlap; its FID"),
        (9.0, sticks[1], "the machine was 4.0 times as slow during one of the two timings; its"),
    ):
        made = []
        for record, beside in zip(records, (stick, sticks[0]), strict=True):
            ways = {"low": -spread, "high": spread}
            measures = tuple(
                m.model_copy(update={k: m.value + v for k, v in ways.items()})
                if m.name == "throughput" else m
                for m in record.measures
            )  # fmt: skip
            fid = equal | ({"value": 9.9} if record.cell.steps == 200 else {})
            slow = record.model_copy(update={"measures": (*measures, beside)})
            made.append(_likened(slow, fid=fid))
        (fast,) = (f for f in findings_of(build(made)) if f.topic.startswith("Fastest"))
        assert said in fast.text


def test_first_stages_alone_have_a_finding_too(tmp_path):
    _, records, _ = fake(
        tmp_path, datasets=("shapes",), downsampling=(4, 8), steps=(10,), pictures=False
    )
    nothing = dict.fromkeys(("sampler", "steps", "eta", "guidance", "sample_seed"))
    alone = [
        _likened(record, **nothing).model_copy(
            update={
                "scores": tuple(s for s in record.scores if s.name in ("rfid", "psnr")),
                "measures": (),
            }
        )
        for record in records
    ]
    (best,) = findings_of(build(alone))
    assert (best.topic, best.owner) == ("Best rFID", "ldm[f=4]")
    assert best.text.startswith("512 reconstructions; the other cell is")


def test_csv_and_json_round_trip_through_pandas(small):
    folder, run, records, extras = small
    text = {f: render(run, records, extras, folder=folder, format=f) for f in ("csv", "json")}
    csv_ = pd.read_csv(io.StringIO(text["csv"]), float_precision="round_trip")
    js = pd.read_json(io.StringIO(text["json"]), precise_float=True)
    assert list(csv_.columns) == list(js.columns)
    assert len(csv_) == len(js) == len(records)
    for record, rows in zip(records, json.loads(text["json"]), strict=True):
        fid = next((s.value for s in record.scores if s.name == "fid"), None)
        assert rows["fid"] == fid
    for value, same in zip(csv_["fid"], js["fid"], strict=True):
        assert value == same or (pd.isna(value) and pd.isna(same))
    for record, value in zip(records, csv_["fid"], strict=True):
        fid = next((s.value for s in record.scores if s.name == "fid"), None)
        assert value == fid or (fid is None and pd.isna(value))
    again = csv_.to_csv(index=False, lineterminator="\n")
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(again)), csv_)
    assert csv_["throughput_unit"].dropna().unique().tolist() == ["images/s"]


def test_markdown_is_a_github_table_and_names_are_inert(tmp_path):
    made = fake(tmp_path, models=(*EVIL, "a|b"), downsampling=(4, 8), steps=(10,), pictures=False)
    text = render(*made, folder=tmp_path, format="markdown")
    assert "<script" not in text
    table = text.split("## Quality\n\n")[1].split("\n\n")[0].splitlines()
    bars = {line.replace("\\|", "").count("|") for line in table}
    assert len(bars) == 1
    assert len(table) == 2 + len(made[1])
    assert "**" in table[2] + table[3] + "".join(table)


def tex_tables(text):
    """The rows of each table of a LaTeX text, header first, as lists of cells."""
    blocks = re.findall(
        r"\\begin{(?:tabular|longtable)}.*?\\end{(?:tabular|longtable)}", text, re.S
    )
    return [
        [
            re.split(r" & ", line.removesuffix(r" \\"))
            for line in block.splitlines()
            if " & " in line
        ]
        for block in blocks
    ]


def test_latex_is_booktabs_with_bold_best(small):
    folder, run, records, extras = small
    text = render(run, records, extras, folder=folder, format="latex")
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == len(tex_tables(text))
    assert len(set(re.findall(r"\\label{(.*?)}", text))) == len(tex_tables(text)) >= 4
    assert r"\mathbf{" in text
    assert r"\pm" in text
    assert "[f=4]" in text
    for head, *rows in tex_tables(text):
        assert head[0] == "Model"
        assert {len(row) for row in rows} == {len(head)}


def test_latex_tables_fit_a_page_and_align_at_the_decimal_point(tmp_path):
    made = fake(tmp_path, steps=(10, 50), guidance=(1.0, 2.0), datasets=("shapes",), pictures=False)
    text = render(*made, folder=tmp_path, format="latex").replace(r"\rlap{$^{\approx}$}", "")
    assert len([t for t in tex_tables(text) if "{FID" in str(t[0])]) == 1
    for head, *rows in tex_tables(text):
        filled = [[re.sub(r"\\(?:phantom|mathbf){([^}]*)}|\$", r"\1", c) for c in r] for r in rows]
        widths = [max(len(r[i].replace(r"\pm", "+")) for r in filled) for i in range(len(head))]
        assert sum(widths) + 1.5 * len(widths) <= 82, head
        for i, heading in enumerate(head):
            if "shortstack" in heading:  # a column of numbers
                values = [r[i].partition(r" \pm ") for r in filled if r[i] != "--"]
                for part in (0, 2):  # the number and its error
                    assert len({len(v[part].partition(".")[2]) for v in values}) <= 1, heading


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


def test_findings_name_every_axis_and_count_what_is_not_told_apart(tmp_path):
    _, records, _ = fake(
        tmp_path, datasets=("shapes",), downsampling=(4,), samplers=("ddim", "dpm++"),
        etas=(0.0, 1.0), guidance=(1.0, 2.0), steps=(10, 200), pictures=False,
    )  # fmt: skip
    best = findings_of(build(records))[0]
    assert best.owner == "ldm[f=4], ddim, 200 steps, η 0, Guidance 2"
    tied = sum(r.entries["fid"].tied for r in build(records).rows)
    assert tied > 1
    assert f"512 samples; {tied} of the other 15 cells are not distinguished from it" in best.text
    paired = findings_of(build(*replicated(records, own=0.001)))[0]
    assert "; the other 15 cells are distinguished from it" in paired.text
    bare = [_likened(r, fid={"low": None, "high": None}) for r in records]
    assert "the other 15 cells have no interval" in findings_of(build(bare))[0].text
    some = findings_of(build([*records[:-1], bare[-1]]))[0].text
    assert "not distinguished from it; 1 of them has no interval" in some


def test_seeds_are_pooled_in_a_row(tmp_path):
    _, records, extras = fake(
        tmp_path, datasets=("shapes",), downsampling=(4, 8), steps=(10, 50), train_seeds=(0, 1, 2),
        sample_seeds=(0, 1), pictures=False,
    )  # fmt: skip
    table = build(records)
    assert table.rows[0].leading == ("ldm[f=4]", "10", "0", "0")
    over = pooled(table)
    assert over.headings == ("Model", "Steps", "Trainings", "Sample seeds")
    assert [row.leading for row in over.rows] == [
        (f"ldm[f={f}]", str(steps), "3", "2") for f in (4, 8) for steps in (10, 50)
    ]
    rows = [r for r in table.rows if r.leading[:2] == ("ldm[f=4]", "10")]
    values = np.array([r.entries["fid"].value for r in rows]).reshape(3, 2)
    entry, spread = over.table.rows[0].entries["fid"], over.spreads[0]["fid"]
    assert entry.value == pytest.approx(values.mean())
    assert spread.training.value == pytest.approx(4.302653 * values.mean(1).std(ddof=1) / 3**0.5)
    assert spread.sampling.value == pytest.approx(12.7062 * values.mean(0).std(ddof=1) / 2**0.5)
    assert float(entry.spread) == pytest.approx(spread.both.value, rel=0.02)
    assert spread.share > 0.9
    assert [bool(r.entries["fid"].best) for r in over.table.rows] == [False, True, False, False]
    assert any("over 3 training seeds, 2 sample seeds each" in f.text for f in findings_of(table))
    assert any("% of the variance of one cell, from 3 trainings" in f.text
               for f in findings_of(table))  # fmt: skip
    markdown, latex, page = (
        render(FAKE_RUN, records, extras, folder=tmp_path, format=format)
        for format in ("markdown", "latex", "html")
    )
    assert "## Over seeds" in markdown
    assert "### Error bars" in markdown
    assert r"-seeds}" in latex
    assert r"-error-bars}" in latex
    assert 'id="seeds"' in page
    assert "Error bars: which error is how large" in page
    (first, *_) = json.loads(render(FAKE_RUN, records, extras, folder=tmp_path, format="json"))
    assert first["fid_over_seeds"] == entry.value
    assert first["fid_over_seeds_both_low"] == entry.low
    assert first["fid_over_seeds_trainings"] == 3


def test_what_was_chosen_is_shown_with_its_scores_on_other_seeds(tmp_path):
    _, records, extras = fake(
        tmp_path, datasets=("shapes",), downsampling=(4, 8), steps=(10,), guidance=(1.0, 2.0),
        sample_seeds=(0, 1, 100), pictures=False,
    )  # fmt: skip
    records = [
        r.model_copy(
            update={"cell": r.cell.model_copy(
                update={"chooses": "guidance" if r.cell.sample_seed == 100 else None}
            )}
        )
        for r in records
    ]  # fmt: skip
    records = with_choices(records, Choose(metric="fid", seeds=(100,)))
    texts = {
        format: render(FAKE_RUN, records, extras, folder=tmp_path, format=format)
        for format in FORMATS
    }
    over = pooled(build([r for r in records if not r.cell.chooses]))
    fid = over.table.rows[1].entries["fid"]
    lines = texts["markdown"].splitlines()
    (line,) = [n for n in lines if n.startswith("| ldm\\[f=4\\] | 10 | 2 | 1:")]
    assert f" {fid.text} ± {fid.spread} |" in line
    assert "chosen by FID on sample seed 100, which is not scored" in texts["markdown"]
    assert "/s100" not in texts["html"][: texts["html"].index('id="figures"')]
    assert 'id="chosen"' in texts["html"]
    assert "-chosen}" in texts["latex"]
    rows = json.loads(texts["json"])
    assert len(rows) == 12
    assert {(r["guidance"], r["choice.chosen"]) for r in rows} == {(1.0, False), (2.0, True)}
    assert {r["choice.seeds"] for r in rows} == {"100"}


def test_one_training_says_what_its_error_bars_lack(tmp_path):
    _, records, extras = fake(
        tmp_path, datasets=("shapes",), downsampling=(4, 8), steps=(10,), sample_seeds=(0, 1),
        pictures=False,
    )  # fmt: skip
    over = pooled(build(records))
    spread = over.spreads[0]["fid"]
    assert (spread.training.value, spread.both.value, spread.share) == (None, None, None)
    told = {told.reason for row in over.bars for told in row}
    assert "no value: needs at least 2 training seeds" in told
    other = next(r.entries["fid"] for r in over.table.rows if not r.entries["fid"].best)
    assert "one training each" in other.gap
    text = render(FAKE_RUN, records, extras, folder=tmp_path, format="markdown")
    assert "–: no value: needs at least 2 training seeds" in text
    assert "it says nothing of other training seeds" in text
    assert "**One training each of 2 models.**" in text
    assert any("needs at least 2 training seeds" in f.text for f in findings_of(build(records)))


def test_a_seed_that_failed_leaves_its_row_without_a_mean(tmp_path):
    _, records, _ = fake(
        tmp_path, datasets=("shapes",), downsampling=(4,), steps=(10,), sample_seeds=(0, 1),
        pictures=False,
    )  # fmt: skip
    lost = records[0].model_copy(update={"status": "failed", "scores": ()})
    (row,) = pooled(build([lost, records[1]])).table.rows
    assert row.entries["fid"].value is None
    assert "not all seeds" in row.entries["fid"].reason
    assert pooled(build(records[:1])) is None


def test_some_scores_and_measures_alone(tmp_path):
    run, records, extras = fake(tmp_path, downsampling=(4, 8), pictures=False)
    options = {"folder": tmp_path, "metrics": ("fid", "throughput")}
    for format in FORMATS:
        text = render(run, records, extras, format=format, **options)
        head = text[: text.index('id="figures"')] if format == "html" else text
        assert "hroughput" in head
        assert "fid" in head.lower()
        assert not [n for n in ("KID", "kid", "Precision", "precision", "Latency") if n in head]
    page = render(run, records, extras, format="html", **options)
    assert 'id="figure-pareto_cost"' in page  # figures keep their axes
    with pytest.raises(InputError, match="did you mean 'precision'"):
        render(run, records, extras, folder=tmp_path, format="csv", metrics=("precison",))
    with pytest.raises(InputError, match=r"no cell has vendi_score; the run has: .*fid"):
        render(run, records, extras, folder=tmp_path, format="csv", metrics=("vendi_score",))


def test_csv_neutralises_headings_and_keeps_numbers_that_are_texts(tmp_path):
    run, records, extras = fake(
        tmp_path, downsampling=(4,), steps=(10,), datasets=("-5", "=1+1"), pictures=False
    )
    names = ("=cmd|' /C calc'!A0", "@own", "-1.5e3", "+x", "\t=1")
    more = tuple(
        Score(name=name, value=-5.0, n=9, signature="own|v1|code:" + str(i))
        for i, name in enumerate(names)
    )
    odd = [r.model_copy(update={"scores": (*r.scores, *more)}) for r in records]
    text = render(run, odd, extras, folder=tmp_path, format="csv")
    table = pd.read_csv(io.StringIO(text), float_precision="round_trip")
    for name in names:
        assert (name if name == "-1.5e3" else f"'{name}") in table.columns
    assert table["'@own"].tolist() == [-5.0, -5.0]
    assert table["dataset"].tolist() == ["-5", "'=1+1"]
    for row in csv.reader(io.StringIO(text)):
        for cell in row:
            assert re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", cell) or not re.match(
                r"[=+\-@\t\r]", cell
            )


def test_converted_days_are_marked_and_said_once_for_all_cells(tmp_path):
    run, records, _ = fake(tmp_path, pictures=False)
    ways = [f"1 days of A, where the first stage was trained, count as {n} of B" for n in (2, 3)]
    changed = [
        record.model_copy(
            update={
                "measures": tuple(
                    m.model_copy(update={"converted": how}) if m.name == "total_device_days" else m
                    for m in record.measures
                )
            }
        )
        for record, how in zip(records, [*ways, "somehow"], strict=False)
    ]
    table = build([*changed, *records[3:]])
    (column,) = (c for c in table.columns if c.key == "total_device_days")
    assert column.heading.startswith("Total days (converted)")
    found = [n for n in notices_of(run, table) if n.title.startswith("Converted")]
    ids = [r.cell.id for r in records]
    assert [(n.text, n.cells) for n in found] == [
        ("A day of A, where the first stage was trained, counts as 2 to 3 of B", tuple(ids[:2])),
        ("somehow", (ids[2],)),
    ]
