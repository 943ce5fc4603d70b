"""Names are data: whatever they hold, every format keeps its shape and shows them as text."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess

import pandas as pd
import pytest
from fake_records import EVIL, fake

from ldmbench.cli.summary import summary_table
from ldmbench.records.reading import read_records
from ldmbench.report import figures_of, render, save_figures

NAMES = (
    *EVIL,
    "n" * 300,
    "\u202egnp.exe \u2066x",
    "line\nbreak\r\n\u2028and\u0085more",
    "100%&_#$\\{}~^ \\input{/etc/passwd} ^^M",
    "=HYPERLINK(1)",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\x1b[31mred\x07\ufffe",
    "</script><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "a|b`c`[d](javascript:alert(1))",
    '"quoted","and, commas"',
    "__proto__",
    "[ours]",
    "[-9cm] x",
    "*starred",
)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    made = fake(
        folder, models=NAMES, downsampling=(4,), steps=(10,), datasets=("shapes",), pictures=False
    )
    return folder, *made


def _render(hostile, format):
    folder, run, records, extras = hostile
    return render(run, records, extras, folder=folder, format=format)


def test_records_are_read_back_as_they_were(hostile):
    folder, _, records, _ = hostile
    assert read_records(folder / "records.jsonl") == records


def test_the_page_shows_every_name_as_text(hostile):
    text = _render(hostile, "html")
    head = text[: text.index('id="bundle"')]
    assert head.count("<script") == head.count("</script>") + 1  # the bundle's, cut in two
    assert "<img" not in head
    assert "<script>alert" not in text
    assert "{{ 7 * 7 }}{% raw %}" in text
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.S).group(1))
    assert [c["cell"]["model"] for c in data["cells"]] == [f"{n}[f=4]" for n in NAMES]


def test_json_keeps_every_name(hostile):
    rows = json.loads(_render(hostile, "json"))
    assert [r["model"] for r in rows] == [f"{n}[f=4]" for n in NAMES]
    again = pd.read_json(io.StringIO(_render(hostile, "json")))
    assert again["model"].tolist() == [f"{n}[f=4]" for n in NAMES]


def test_csv_keeps_its_shape_and_computes_nothing(hostile):
    _, _, records, _ = hostile
    text = _render(hostile, "csv")
    table = pd.read_csv(io.StringIO(text), float_precision="round_trip")
    assert len(table) == len(NAMES)
    assert table["fid"].tolist() == [r.scores[0].value for r in records]
    assert table["clip_score"].tolist() == [
        next(s.value for s in r.scores if s.name == "clip_score") for r in records
    ]
    for row in csv.reader(io.StringIO(text)):
        for cell in row:
            number = re.fullmatch(r"-?[\d.]+(e[+-]?\d+)?", cell)
            assert number or not cell.startswith(("=", "+", "-", "@", "\t", "\r")), cell


def test_markdown_keeps_one_line_per_cell(hostile):
    text = _render(hostile, "markdown")
    table = text.split("## Quality\n\n")[1].split("\n\n")[0].splitlines()
    assert len(table) == 2 + len(NAMES)
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {
        len(re.findall(r"(?<!\\)\|", table[0]))
    }
    assert "\u202e" not in text
    assert "<script" not in text
    assert not re.search(r"(?<!\\)\]\(javascript", text)


def test_a_signature_stays_in_its_code_span(hostile):
    folder, run, records, extras = hostile
    evil = "fid|v1`<img src=x>``[a](javascript:alert(1))\n# `"
    score = records[0].scores[0].model_copy(update={"signature": evil})
    spoilt = records[0].model_copy(update={"scores": (score,)})
    text = render(run, [spoilt], extras, folder=folder, format="markdown")
    flat = " ".join(evil.split())
    assert text.rstrip().splitlines()[-1] == f"- ``` {flat} ```"


def test_the_terminal_obeys_no_name(hostile):
    text = summary_table(hostile[2])
    assert not set(text) & {"\x1b", "\x07", "\r", "\u202e"}
    assert all(len(line) <= 80 for line in text.splitlines())


def test_figures_draw_every_name(hostile, tmp_path):
    _, run, records, extras = hostile
    chart = figures_of(run, records, extras)["quality_throughput"]
    (path,) = save_figures({"quality_throughput": chart}, tmp_path, formats=("svg",))
    text = path.read_text()
    assert "<script" not in text
    assert "\x1b" not in text


def test_latex_rows_begin_with_nothing_that_belongs_to_the_line_before(hostile):
    rows = [line for line in _render(hostile, "latex").splitlines() if line.endswith(r"\\")]
    assert not [row for row in rows if row.startswith(("[", "*"))]
    assert {"{}[ours][f=4]", "{}[-9cm] x[f=4]", "{}*starred[f=4]"} <= {
        row.partition(" & ")[0] for row in rows
    }


@pytest.mark.slow
def test_latex_with_every_name_compiles(hostile, tmp_path):
    compiler = shutil.which("pdflatex")
    if compiler is None:
        pytest.skip("pdflatex is not installed (Debian: texlive-latex-recommended)")
    (tmp_path / "t.tex").write_text(
        r"\documentclass{article}\usepackage{booktabs,graphicx,longtable}\begin{document}"
        + _render(hostile, "latex")
        + r"\end{document}"
    )
    command = [compiler, "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-1500:].decode(errors="replace")
    assert b"passwd" not in done.stdout
