"""Rank correlations of measures of first stages and the FID of samples, in the findings."""

from itertools import permutations

import pytest
from fake_records import fake
from scipy.stats import spearmanr

from ldmbench.report.findings import findings_of
from ldmbench.report.tables import build
from ldmbench.report.worth import exact_p, spearman, worth_of

STEPS = {"steps": (10, 50), "datasets": ("shapes",), "pictures": False}


def records_of(folder, downsampling, predicted, **options):
    """Return records whose first stages have an iFID, by f, and a share of high frequencies."""
    _, records, _ = fake(folder, downsampling=downsampling, **{**STEPS, **options})
    return [told(r, predicted[r.cell.f]) for r in records if r.status == "done"]


def told(record, value):
    score = record.scores[0].model_copy(update={"name": "ifid", "value": value})
    share = record.measures[0].model_copy(update={"name": "latent_high_frequency", "value": -value})
    stages = {**record.cell.stages, "autoencoder": f"first-{record.cell.f}"}
    cell = record.cell.model_copy(update={"stages": stages})
    added = {"scores": (*record.scores, score), "measures": (*record.measures, share)}
    return record.model_copy(update={**added, "cell": cell})


def test_the_chance_is_the_share_of_orders_as_far_from_zero():
    x, y = [1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 1.0, 4.0, 4.0, 9.0]
    rho = spearmanr(x, y).statistic
    assert spearman(x, y) == pytest.approx(rho)
    every = [spearmanr(x, order).statistic for order in permutations(y)]
    share = sum(abs(one) >= abs(rho) - 1e-9 for one in every) / len(every)
    assert exact_p(x, y) == pytest.approx(share)
    assert exact_p([1, 2, 3, 4], [1, 2, 3, 4]) == pytest.approx(2 / 24)
    assert spearman([1, 1, 1], [1, 2, 3]) is None


def test_of_many_first_stages_orders_are_drawn_and_give_nearly_the_same():
    x = list(range(9))
    y = [0, 2, 1, 4, 3, 6, 5, 8, 7]
    assert exact_p(x, y) < 0.001
    assert exact_p(x, [4, 0, 8, 2, 6, 1, 7, 3, 5]) == pytest.approx(0.78, abs=0.15)


def test_one_sentence_says_the_correlation_of_the_longest_sampling(tmp_path):
    # FID of the made-up sweep is lowest at f = 4, then 8, 2 and 16.
    perfect = {2: 30.0, 4: 10.0, 8: 20.0, 16: 40.0}
    records = records_of(tmp_path, (2, 4, 8, 16), perfect)
    (worth,) = worth_of(records)
    assert worth.record.cell.steps == 50
    text = worth.sentence
    assert "with FID of samples over 4 first stages: iFID 1.00 (exact p = 0.083)" in text
    assert "High frequencies -1.00 (exact p = 0.083)" in text
    assert "iFID in 1 other setting: 1.00" in text
    (found,) = (f for f in findings_of(build(records)) if f.topic == "iFID and FID of samples")
    assert (found.number, found.text) == ("1.00", text)


def test_fewer_than_four_first_stages_have_no_p_value(tmp_path):
    (worth,) = worth_of(records_of(tmp_path, (2, 4, 8), {2: 1.0, 4: 1.0, 8: 2.0}))
    assert "p =" not in worth.sentence
    assert "3 first stages are too few for a p-value, which takes 4" in worth.sentence
    assert "all are equal" in worth_of(records_of(tmp_path, (2, 4), {2: 1.0, 4: 1.0}))[0].sentence


def test_seeds_are_averaged_and_a_lone_first_stage_has_no_order(tmp_path):
    many = records_of(tmp_path, (2, 4, 8), {2: 3.0, 4: 1.0, 8: 2.0}, train_seeds=(0, 1))
    assert worth_of(many)[0].ranks[0].pairs == 3
    assert worth_of(records_of(tmp_path, (4,), {4: 1.0})) == []


def test_models_with_one_first_stage_each_are_compared(tmp_path):
    records = records_of(tmp_path, (2, 4, 8), {2: 3.0, 4: 1.0, 8: 2.0})
    named = [
        r.model_copy(update={"cell": r.cell.model_copy(update={"model": f"on_{r.cell.f}"})})
        for r in records
    ]
    assert worth_of(named)[0].ranks[0].pairs == 3
