"""Timestep rules and schedules against CompVis' own numbers and diffusers' spacings."""

from pathlib import Path

import numpy as np
import pytest
from diffusers import DDIMScheduler

from ldmbench import errors
from ldmbench.sample import Schedule, compvis_grid, spaced_grid

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "compvis" / "schedules.npz")
COUNTS = sorted(int(k[6:]) for k in GOLDEN.files if k.startswith("steps_") and "quad" not in k)


@pytest.mark.golden
@pytest.mark.parametrize("steps", COUNTS)
def test_compvis_grid_is_the_original_or_refused(steps):
    theirs = GOLDEN[f"steps_{steps}"].tolist()
    if theirs[-1] >= 1000:
        assert steps in (3, 300, 999, 1000)
        with pytest.raises(errors.InputError, match="past T - 1 = 999"):
            compvis_grid(steps)
    else:
        assert compvis_grid(steps) == theirs


def test_refusal_names_counts_that_work():
    with pytest.raises(errors.InputError, match="ask for 250 or 334 steps") as caught:
        compvis_grid(300)
    assert "leading" in str(caught.value)
    assert len(compvis_grid(334)) == 500
    assert len(compvis_grid(7)) == 8


@pytest.mark.golden
@pytest.mark.parametrize("ends", [(0.0015, 0.0195), (0.0015, 0.0155), (0.00085, 0.012)])
def test_schedule_is_the_original(ends):
    schedule = Schedule(start=ends[0], end=ends[1])
    name = f"{ends[0]}_{ends[1]}"
    np.testing.assert_allclose(schedule.beta_array(), GOLDEN[f"betas_{name}"], rtol=1e-9)
    np.testing.assert_allclose(
        schedule.alphas_cumprod(), GOLDEN[f"alphas_cumprod_{name}"], rtol=1e-9
    )


@pytest.mark.parametrize("rule", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("steps", [1, 7, 10, 50, 300, 1000])
def test_spacings_are_diffusers_own(rule, steps):
    scheduler = DDIMScheduler(timestep_spacing=rule, steps_offset=0)
    scheduler.set_timesteps(steps)
    assert spaced_grid(rule, steps) == scheduler.timesteps.tolist()[::-1]


@pytest.mark.parametrize("kind", ["scaled_linear", "linear", "cosine"])
def test_betas_match_a_diffusers_scheduler(kind):
    schedule = Schedule(kind=kind, start=0.001, end=0.02)
    config = schedule.config()
    known = {k: v for k, v in config.items() if k != "skip_prk_steps"}
    scheduler = DDIMScheduler(**known)
    np.testing.assert_allclose(scheduler.betas.numpy(), schedule.beta_array(), rtol=2e-4)
    back = Schedule.from_config(config | {"_class_name": "DDIMScheduler"})
    assert back == schedule


def test_array_schedules_and_errors():
    betas = tuple(np.linspace(0.01, 0.2, 10))
    schedule = Schedule(kind="array", T=10, betas=betas)
    assert schedule.config()["trained_betas"] == list(betas)
    assert Schedule.from_config(schedule.config()) == schedule
    with pytest.raises(errors.InputError, match="needs T = 9 betas"):
        Schedule(kind="array", T=9, betas=betas)
    with pytest.raises(errors.InputError, match="unknown; there are: scaled_linear"):
        Schedule(kind="quadratic")
    with pytest.raises(errors.InputError, match="it is epsilon"):
        Schedule(prediction="noise")
    with pytest.raises(errors.InputError, match="beta_schedule 'sigmoid'"):
        Schedule.from_config({"beta_schedule": "sigmoid"})
