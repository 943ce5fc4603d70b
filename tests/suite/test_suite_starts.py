"""`keep_state`: what a longer training cannot go on from is refused with the reason."""

import pytest
import tiny

from ldmbench.errors import SuiteError
from ldmbench.store.states import in_turn, training_of

KEPT = "models.pixel.denoiser.keep_state=true"


planned = tiny.planned


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("models.pixel.budget={device_minutes: 1}", "minutes end at another step in every run"),
        ("models.pixel.denoiser.schedule=cosine", "schedule: cosine: the rate of each step"),
        ("models.pixel.denoiser.schedule=[constant, linear]", "schedule: linear"),
    ],
)
def test_what_depends_on_the_whole_budget_is_refused(tmp_path, change, reason):
    planned(tmp_path, change)
    with pytest.raises(SuiteError, match=f"keep_state: found true with .*{reason}"):
        planned(tmp_path, KEPT, change)


def test_it_is_in_no_key_and_trainings_that_differ_in_length_share_a_state(tmp_path):
    axes = "models.pixel.budget.steps=[9, 3, 6]", "models.pixel.denoiser.train_seed=[0, 1]"
    plain, kept = planned(tmp_path, *axes), planned(tmp_path, *axes, KEPT)
    assert plain.by_key().keys() == kept.by_key().keys()
    trainings = [stage for stage in kept.stages if stage.kind == "denoiser"]
    assert len(trainings) == 6
    assert len({training_of(stage) for stage in trainings}) == 2
    steps = {stage.key: stage.params.budget.steps for stage in trainings}
    pairs = [(steps[longer], steps[shorter]) for longer, shorter in in_turn(trainings).items()]
    assert sorted(pairs) == [(6, 3), (6, 3), (9, 6), (9, 6)]
    assert in_turn(plain.stages) == {}
