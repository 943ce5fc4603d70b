"""`choose`: rules of the suite, and the cells that only help to choose."""

import json

import pytest
from ruamel.yaml import YAML
from tiny import SUITE, write_suite

from ldmbench.errors import SuiteError
from ldmbench.plan.build import build_plan
from ldmbench.suite.check import check_suite
from ldmbench.suite.load import load_suite

CHOICE = {"metric": "fid", "seeds": [100]}


def loaded(tmp_path, choose=None, **sample):
    suite = YAML(typ="safe").load(SUITE)
    suite["models"]["pixel"]["denoiser"]["conditioning"] = "class"
    suite["sample"] = {"steps": 2, "count": 16, "micro_batch": 8, "guidance": [1, 2], **sample}
    if choose is not None:
        suite["choose"] = choose
    found = load_suite(write_suite(tmp_path, json.dumps(suite)))
    check_suite(found)
    return found


def test_cells_of_a_choice_are_planned_with_the_score_that_chooses(tmp_path):
    plan = build_plan(loaded(tmp_path, CHOICE))
    cells = {cell.id.rpartition("ddim-2/")[2]: cell for cell in plan.cells}
    assert list(cells) == ["g1/s0", "g1/s100", "g2/s0", "g2/s100"]
    assert [cell.chooses for cell in cells.values()] == [None, "guidance"] * 2
    names = {role.name for role in cells["g1/s100"].roles}
    assert names == {"autoencoder", "denoiser", "samples", "moments"}
    without = {cell.id: cell.stages for cell in build_plan(loaded(tmp_path)).cells}
    assert {c.id: c.stages for c in plan.cells if not c.chooses} == without


@pytest.mark.parametrize(
    ("choose", "sample", "message"),
    [
        ({**CHOICE, "metric": "fidd"}, {}, "did you mean 'fid'"),
        ({**CHOICE, "metric": "psnr"}, {}, "a metric of samples that the suite has"),
        ({**CHOICE, "seeds": [0]}, {}, "which sample.seed scores.*such as 1"),
        ({**CHOICE, "seeds": [7, 7]}, {}, "found one seed twice"),
        (CHOICE, {"guidance": 1}, "guidance, of which sample has one value"),
        ({**CHOICE, "axis": "eta"}, {}, "write a list under sample.eta"),
        ({**CHOICE, "rule": "luck"}, {}, "rule"),
        ({"metric": "fid", "seeds": []}, {}, "seeds"),
    ],
)
def test_a_choice_that_would_not_be_one_is_refused(tmp_path, choose, sample, message):
    with pytest.raises(SuiteError, match=message) as refused:
        loaded(tmp_path, choose, **sample)
    assert "choose" in str(refused.value)
