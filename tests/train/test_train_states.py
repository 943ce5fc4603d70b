"""A longer training goes on from the state of a shorter one, as if it was never stopped."""

import json
import logging

import numpy as np
import pytest
import torch
from test_train_resume import KilledError, denoiser, killer, quiet, weights_of

from ldmbench.schema.models import Budget
from ldmbench.train.limit import Limit
from ldmbench.train.states import Trace, step_of

pytestmark = pytest.mark.slow


@pytest.fixture
def trained(tmp_path):
    """Train for some steps; return the bytes of what it wrote, and its cost."""
    states = tmp_path / "states"
    states.mkdir()

    def train(steps, *, kept=states, checkpoints=(), report=quiet, name=None, **more):
        output = tmp_path / (name or f"{steps}-{kept is not None}")
        denoiser(
            output.with_suffix(".scratch"),
            output,
            report,
            params={"checkpoints": checkpoints, "conditioning": "none"},
            budget=Budget(steps=steps),
            states=kept,
            **more,
        )
        return weights_of(output), json.loads((output / "cost.json").read_text())

    train.states = states
    return train


def unlike(one, other):
    assert one.keys() == other.keys()
    return [name for name in one if one[name] != other[name]]


@pytest.mark.parametrize("checkpoints", [(), (0.5, 0.75)])
def test_a_continued_training_ends_in_the_bytes_of_an_undisturbed_one(trained, checkpoints):
    whole, cost = trained(12, kept=None, checkpoints=checkpoints)
    assert cost["continued_from"] == 0
    assert not [*trained.states.iterdir()]
    for steps in (4, 6, 12):
        found, cost = trained(steps, checkpoints=checkpoints if steps == 12 else ())
    assert unlike(found, whole) == []
    assert "curve.jsonl" in whole
    assert cost["continued_from"] == 6
    assert (cost["steps"], cost["attempts"]) == (12, 3)
    assert len(cost["curve_seconds"]) == len(whole["curve.jsonl"].splitlines()) == 12
    assert sorted(p.name for p in trained.states.iterdir()) == [
        f"{steps:010d}" for steps in (4, 6, 12)
    ]


def test_a_continued_training_that_is_killed_resumes(trained, monkeypatch):
    whole, _ = trained(12, kept=None)
    trained(5)
    monkeypatch.setattr("ldmbench.train.loop.REPORT_SECONDS", 0.0)
    with pytest.raises(KilledError):
        trained(12, report=killer(0.8), name="again", checkpoint_seconds=0.0)
    found, cost = trained(12, name="again", checkpoint_seconds=0.0)
    assert unlike(found, whole) == []
    assert (cost["continued_from"], cost["attempts"]) == (5, 3)
    longer, cost = trained(14)
    assert unlike(longer, trained(14, kept=None)[0]) == []
    assert cost["continued_from"] == 12


def test_weights_that_lie_before_a_state_are_not_skipped(trained):
    for steps in (3, 8):
        trained(steps)
    whole, _ = trained(12, kept=None, checkpoints=(0.5,))
    found, cost = trained(12, checkpoints=(0.5,))
    assert cost["continued_from"] == 3
    assert unlike(found, whole) == []


def test_the_state_of_the_very_budget_is_enough(trained):
    whole, _ = trained(6)
    again, cost = trained(6, name="again")
    assert unlike(again, whole) == []
    assert (cost["continued_from"], cost["steps"]) == (6, 6)


def test_a_state_that_was_changed_is_set_aside_and_said(trained, caplog):
    for steps in (3, 6):
        trained(steps)
    [state] = (trained.states / f"{6:010d}").iterdir()
    data = bytearray(state.read_bytes())
    data[-9] ^= 1
    state.write_bytes(bytes(data))
    with caplog.at_level(logging.WARNING, logger="ldmbench"):
        found, cost = trained(12)
    assert "is damaged (it does not have the digest it was written with)" in caplog.text
    assert cost["continued_from"] == 3
    assert unlike(found, trained(12, kept=None)[0]) == []
    assert state.with_name(f"{state.name}.damaged").is_file()


def test_a_checkpoint_of_before_keep_state_is_gone_on_from_and_keeps_no_state(
    trained, monkeypatch, caplog
):
    monkeypatch.setattr("ldmbench.train.loop.REPORT_SECONDS", 0.0)
    with pytest.raises(KilledError):
        trained(8, kept=None, report=killer(0.5), name="one", checkpoint_seconds=0.0)
    with caplog.at_level(logging.WARNING, logger="ldmbench"):
        found, _ = trained(8, name="one", checkpoint_seconds=0.0)
    assert "the state at its end is not kept" in caplog.text
    assert not [*trained.states.iterdir()]
    assert unlike(found, trained(8, kept=None)[0]) == []


def test_a_trace_draws_the_curve_that_a_running_training_draws():
    rng, trace, limit = np.random.default_rng(0), Trace(torch.device("cpu")), Limit(steps=1700)
    losses = rng.normal(size=1700).astype(np.float32)
    total, window, wanted = torch.zeros(()), 0, []
    for n, loss in enumerate(losses):
        trace.add(torch.tensor(loss), torch.tensor(0.5), rate=1e-3, seconds=float(n))
        total, window = total + torch.tensor(loss), window + 1
        if int(limit.fraction(n + 1, 0) * 20) > int(limit.fraction(n, 0) * 20):
            wanted.append(float(total) / window)
            total, window = torch.zeros(()), 0
    assert [found.loss for found in trace.windows(limit, 20)] == wanted
    again = Trace(torch.device("cpu"))
    again.restore(trace.tensors())
    assert [*again.windows(limit, 20)] == [*trace.windows(limit, 20)]
    assert again.rest(Limit(steps=3000), 7)[1] == 1700 - 3000 * 3 // 7 - 1


@pytest.mark.parametrize(("share", "steps"), [(0.5, 10), (0.3, 10), (1 / 3, 7), (0.999, 10)])
def test_the_step_of_a_share(share, steps):
    step, limit = step_of(share, Limit(steps=steps)), Limit(steps=steps)
    assert limit.fraction(step, 0) >= share > limit.fraction(step - 1, 0)
