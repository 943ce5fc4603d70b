from __future__ import annotations

import re

from fake_records import EVIL

from ldmbench.report import render
from ldmbench.report.trends import HEIGHT, MOST_TRENDS, WIDTH, trends_of


def _series(cell="ldm/shapes", name="fid", values=(3.0, 3.1, 5.0, 5.1), steps=()):
    points = [
        {"run": f"smoke-{i}", "started": "", "value": v, "error": 0.0} for i, v in enumerate(values)
    ]
    return {"cell": cell, "name": name, "made": "fid|v1", "points": points, "steps": list(steps)}


def _step(direction="regressed"):
    return {"run": "smoke-2", "started": "", "before": 3.05, "after": 5.05, "direction": direction}


def test_a_step_is_named_and_comes_first():
    found = trends_of([
        _series(cell="a"), _series(cell="b", steps=[_step("improved")]),
        _series(cell="c", steps=[_step()]),
    ])  # fmt: skip
    assert [t.cell for t in found.shown] == ["c", "b", "a"]
    assert found.runs == 4
    first = found.shown[0]
    assert first.verdict == "regressed"
    assert first.steps[0][1] == "regressed at smoke-2: 3.05 → 5.05"
    assert [step for *_, step in first.dots] == ["", "", "regressed", ""]
    assert "4 runs" in first.alt
    assert "regressed at smoke-2" in first.alt


def test_lines_stay_in_their_box():
    for values in ((1, 2), (5, 5, 5), (0, 0), (-3, 1e9, 2)):
        (trend,) = trends_of([_series(values=values)]).shown
        for x, y, _, _ in trend.dots:
            assert 0 <= x <= WIDTH
            assert 0 <= y <= HEIGHT


def test_one_run_is_no_history_and_many_series_are_counted():
    assert trends_of([_series(values=(1,))]).shown == ()
    found = trends_of([_series(cell=f"c{i}") for i in range(MOST_TRENDS + 7)])
    assert len(found.shown) == MOST_TRENDS
    assert found.left_out == 7


def test_the_page_shows_a_history_only_where_there_is_one(small):
    folder, run, records, extras = small
    made = [_series(cell=EVIL[0], steps=[_step()])]
    page = render(run, records, extras, folder=folder, format="html", history=made)
    part = re.search(r'<section id="history".*?</section>', page, re.S).group(0)
    assert "regressed at smoke-2" in part
    assert "<script>" not in part
    assert 'href="#history"' in page
    without = render(run, records, extras, folder=folder, format="html")
    assert 'id="history"' not in without
