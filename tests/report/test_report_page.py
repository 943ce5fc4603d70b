from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from html.parser import HTMLParser

import pytest
from fake_records import EVIL, fake, with_measure

from ldmbench.report import figures_of, render, save_figures
from ldmbench.report.figures import FIGURES, draw
from ldmbench.report.findings import findings_of
from ldmbench.report.points import front, headline, points_of
from ldmbench.report.sheets import read_sheets
from ldmbench.report.tables import build
from ldmbench.report.theme import config
from ldmbench.schema.record import Extras, Picture


def test_the_light_formats_need_no_altair():
    code = (
        "import sys; from ldmbench import report; "
        "assert not {'altair', 'torch', 'mlflow', 'pandas', 'jinja2'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_sweep_draws_every_figure(tmp_path):
    made = fake(tmp_path, progress=(0.5, 1.0), guidance=(1.0, 2.0), steps=(10, 50), pictures=False)
    drawn = draw(*made)
    assert set(drawn.charts) == set(FIGURES)
    for figure in drawn.charts.values():
        spec = figure.chart.to_dict()
        assert spec["description"] == figure.alt
        assert "shape" in json.dumps(spec)


def test_a_figure_without_content_says_why(tmp_path):
    run, records, _ = fake(tmp_path, downsampling=(4,), steps=(10,), pictures=False)
    drawn = draw(run, records[:1], Extras())
    assert set(drawn.left_out) | set(drawn.charts) == set(FIGURES)
    assert "coding" in drawn.left_out
    assert all(reason.endswith(".") for reason in drawn.left_out.values())


def test_one_budget_that_ends_on_whole_steps_is_no_figure(tmp_path):
    run, records, extras = fake(tmp_path, steps=(10,), datasets=("shapes",), pictures=False)
    near = draw(run, with_measure(records, "train_flops", lambda f: 5e12 * (1 + 1e-3 * f)), extras)
    assert "same budget" in near.left_out["quality_compute"]
    apart = with_measure(records, "train_flops", lambda f: 5e12 * f)
    assert "quality_compute" in draw(run, apart, extras).charts


def test_figure_seven_has_a_line_per_model_and_a_point_per_step_count(tmp_path):
    made = fake(tmp_path, datasets=("shapes",), pictures=False)
    spec = figures_of(*made)["quality_throughput"].to_dict()
    (values,) = spec["datasets"].values() if "datasets" in spec else (spec["data"]["values"],)
    assert len(values) == 30
    assert len({v["line"] for v in values}) == 6
    assert all(v["low"] <= v["quality"] <= v["high"] for v in values)


def test_the_front_holds_what_nothing_beats(tmp_path):
    _, records, _ = fake(tmp_path, pictures=False)
    quality = headline(records)
    points = points_of(records, quality.name)
    marked = front(points, "throughput", quality, more=True)
    for a in marked:
        beaten = any(
            b["dataset"] == a["dataset"]
            and b["throughput"] >= a["throughput"]
            and b["quality"] <= a["quality"]
            and b["cell"] != a["cell"]
            for b in marked
        )
        assert (a["front"] == "beaten") == beaten


def test_findings_answer_the_question(tmp_path):
    _, records, _ = fake(tmp_path, datasets=("shapes",), pictures=False)
    best, fastest, pixels = findings_of(build(records))
    assert best.owner == "ldm[f=4], 200 steps"
    assert "cannot be compared with published rows" in best.text
    assert "times as fast" in fastest.text
    assert pixels.unit == "better"
    assert "in pixel space (ldm[f=1], 200 steps); difference -63" in pixels.text


def test_figures_are_saved_without_a_browser(tmp_path):
    made = fake(tmp_path / "run", downsampling=(1, 4), steps=(10, 50), pictures=False)
    charts = {"quality_throughput": figures_of(*made)["quality_throughput"]}
    paths = save_figures(charts, tmp_path / "figures")
    assert [p.name for p in paths] == [f"quality_throughput.{k}" for k in ("svg", "pdf", "png")]
    heads = [p.read_bytes()[:5] for p in paths]
    assert heads == [b"<svg ", b"%PDF-", b"\x89PNG\r"]
    assert "ldm[f=4]" in paths[0].read_text()


def _contrast(a: str, b: str) -> float:
    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(w * x for w, x in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    high, low = sorted((light(a), light(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_colours_have_contrast(mode):
    look = config(mode)
    page = look["background"]
    for colour in [*look["range"]["category"], look["axis"]["labelColor"]]:
        assert _contrast(page, colour) >= 4.5, colour


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def test_the_page_is_one_file_with_one_bundle_and_asks_nobody(small):
    folder, run, records, extras = small
    text = render(run, records, extras, folder=folder, format="html")
    reader = _Reader()
    reader.feed(text)
    for tag, attributes in reader.tags:
        assert "src" not in attributes
        if tag == "link":
            assert attributes["href"] == "data:,"
        if tag == "a":
            assert attributes["href"].startswith("#")
    assert "default-src 'none'" in text
    assert text.count('id="bundle"') == 1
    assert len([t for t, _ in reader.tags if t == "figure"]) == len(
        figures_of(run, records, extras)
    )


def test_names_are_inert(tmp_path):
    made = fake(tmp_path, models=(*EVIL, "</script><b>", "{{ 7*7 }}"), downsampling=(4, 8))
    text = render(*made, folder=tmp_path, format="html")
    bundle = text.index('id="bundle"')
    assert "<script>alert(1)" not in text
    assert "</script><b>" not in text
    assert "{{ 7*7 }}" in text
    assert text[:bundle].count("</script>") == text[:bundle].count("<script") - 1
    data = re.search(r'id="data">(.*?)</script>', text, re.S)
    cells = json.loads(data.group(1))["cells"]
    assert cells[0]["cell"]["model"] == f"{EVIL[0]}[f=4]"


def test_pictures_outside_the_folder_are_refused(small, tmp_path):
    folder, _, records, extras = small
    (tmp_path / "secret.png").write_bytes((folder / extras.pictures[0].file).read_bytes())
    away = Picture(title="real/x", dataset="x", file="../secret.png", side=8, columns=1, rows=1)
    sheets = read_sheets([away, *extras.pictures], records, folder=folder)
    assert len(sheets.sheets) == len(extras.pictures)
    assert "not in the run's folder" in sheets.remarks[0]


def test_a_column_of_first_stages_alone_is_an_image(small):
    folder, _, records, extras = small
    nothing = dict.fromkeys(("sampler", "steps", "eta", "guidance", "sample_seed"))
    alone = [
        r.model_copy(update={"cell": r.cell.model_copy(update=nothing)}) for r in records
    ]  # fmt: skip
    for those, said in (
        (records, "Every column is one seed"),
        (alone, "Every column is one image: the original first"),
        ([alone[0], *records[1:]], "A first stage alone shows its reconstructions"),
    ):
        assert said in read_sheets(extras.pictures, those, folder=folder).legend


@pytest.mark.slow
def test_two_hundred_cells_stay_small(tmp_path):
    made = fake(tmp_path, steps=tuple(range(5, 90, 5)), side=48)
    assert len(made[1]) > 200
    started = time.perf_counter()
    text = render(*made, folder=tmp_path, format="html")
    assert time.perf_counter() - started < 60
    assert len(text.encode()) < 15_000_000
    assert "recompressed" in text


def test_a_run_without_records_has_a_page(small):
    folder, run, _, _ = small
    text = render(run, [], Extras(), folder=folder, format="html")
    assert "Nothing was measured" in text
    assert "The run kept no pictures" in text


def test_a_page_is_the_same_twice(small):
    folder, run, records, extras = small
    one, two = (render(run, records, extras, folder=folder, format="html") for _ in range(2))
    assert one == two
