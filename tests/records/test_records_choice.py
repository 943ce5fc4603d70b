"""What is chosen for each model on seeds that are not scored."""

import pytest
from test_records_compare import SIGNATURE, cell, score

from ldmbench.records.choice import with_choices
from ldmbench.schema.record import Record
from ldmbench.schema.sample import Choose

CHOOSE = Choose(metric="fid", seeds=(100, 101))
FID = {1: (12.0, 13.0), 2: (9.0, 11.0), 4: (9.5, 10.5)}


def records(fid=FID, model="ldm", **more):
    made = []
    for guidance, values in fid.items():
        for seed, value in zip((0, 100, 101), (50.0, *values), strict=True):
            own = cell(f"{model}/shapes/ddim-10/g{guidance}/s{seed}")
            own = own.model_copy(update={"chooses": "guidance" if seed else None})
            scores = () if value is None else (score(value, **more),)
            made.append(Record(run="R", cell=own, status="done", scores=scores))
    return made


def test_the_best_mean_is_chosen_and_of_equal_ones_the_first():
    found = with_choices(records(), CHOOSE)
    choice = found[3].choice
    assert (choice.value, choice.equal, choice.seeds) == ("2", ("4",), (100, 101))
    assert choice.means == {"1": 12.5, "2": 10.0, "4": 10.0}
    assert choice.rule == "best_mean"
    chosen = [r.cell.id for r in found if r.choice.chosen]
    assert chosen == [f"ldm/shapes/ddim-10/g2/s{seed}" for seed in (0, 100, 101)]
    assert Record.model_validate_json(found[3].model_dump_json()) == found[3]


def test_every_model_has_a_choice_of_its_own_and_scored_seeds_do_not_count():
    other = {1: (1.0, 2.0), 2: (9.0, 11.0)}
    found = with_choices([*records(), *records(other, "pixel")], CHOOSE)
    values = {r.cell.model: r.choice.value for r in found}
    assert values == {"ldm": "2", "pixel": "1"}


def test_nothing_is_chosen_where_a_value_is_missing_or_was_made_otherwise():
    lost = with_choices(records({**FID, 4: (9.5, None)}), CHOOSE)[0].choice
    assert (lost.value, lost.chosen) == (None, False)
    assert lost.reason == "no fid at guidance 4 on the seeds of the choice"
    unlike = SIGNATURE.replace("n:64", "n:65")
    found = with_choices([*records({1: FID[1]}), *records({2: FID[2]}, signature=unlike)], CHOOSE)
    assert found[0].choice.reason == "fid was not computed in the same way for all values"


@pytest.mark.parametrize("choose", [None, CHOOSE])
def test_runs_without_a_choice_stay_as_they_are(choose):
    plain = [r.model_copy(update={"cell": r.cell.model_copy(update={"chooses": None})})
             for r in records()]  # fmt: skip
    assert with_choices(plain, choose) == plain
