"""Objectives and forward processes of training: conversions, weights, levels and times."""

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr
from diffusers.training_utils import compute_snr
from test_train_stand_in import denoiser_job

from ldmbench.models.precond import OBJECTIVES, snr_weights
from ldmbench.sample.objectives import flow_of, schedule_of
from ldmbench.schema.models import DenoiserParams
from ldmbench.train.forward import Betas, StraightPath, forward_of

CPU = torch.device("cpu")


def generator():
    return torch.Generator().manual_seed(3)


@pytest.mark.parametrize("objective", ["eps", "v", "x0", "flow"])
def test_what_is_learned_says_noise_and_clean_latent(objective):
    forward = forward_of(DenoiserParams(objective=objective), CPU)
    t = forward.times(6, generator())
    clean, noise = torch.randn(6, 3, 4, 4), torch.randn(6, 3, 4, 4)
    levels = signal, spread = forward.levels(t)
    assert signal.shape == spread.shape == (6, 1, 1, 1)
    z, row = signal * clean + spread * noise, forward.objective
    out = row.target(clean, noise, levels)
    assert torch.allclose(row.noise(out, z, levels), noise, atol=1e-3)
    assert torch.allclose(row.clean(out, z, levels), clean, atol=1e-3)
    assert float(forward.loss(out, clean, noise, levels)) == 0
    # the slope is how far the clean latent moves with what the network returns
    moved = (row.clean(out + 1, z, levels) - row.clean(out, z, levels)).abs().mean((1, 2, 3))
    assert torch.allclose(moved, row.slope(levels).flatten(), rtol=1e-2, atol=1e-4)


def test_the_velocity_is_noise_minus_data():
    path = forward_of(DenoiserParams(objective="flow"), CPU)
    one, zero = torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)
    assert float(path.objective.target(one * 2, one * 5, path.levels(torch.tensor([0.5])))) == 3
    assert path.levels(torch.tensor([1.0])) == (zero, one)
    assert flow_of(DenoiserParams(objective="flow")).noise_at == 1


def test_min_snr_weighs_as_its_paper_says():
    scheduler = DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.0015, beta_end=0.0195)
    t = torch.tensor([0, 10, 200, 500, 900, 999])
    snr, gamma = compute_snr(scheduler, t), 5.0
    least = snr.clamp(max=gamma)
    wanted = {"eps": least / snr, "v": least / (snr + 1), "x0": least}
    for objective, weights in wanted.items():
        forward = forward_of(DenoiserParams(objective=objective, min_snr=gamma), CPU)
        ours = snr_weights(forward.objective, forward.levels(t), gamma=gamma).flatten()
        assert torch.allclose(ours, weights, rtol=1e-4)
        clean, noise, out = torch.zeros(3, 6, 3, 4, 4).unbind(0)
        levels = forward.levels(t)
        loss = forward.loss(out + 1, clean, noise, levels)
        assert float(loss) == pytest.approx(float(weights.mean()), rel=1e-4)


@pytest.mark.parametrize("name", ["scaled_linear", "linear", "cosine"])
def test_zero_terminal_snr_rescales_as_diffusers_does(name):
    params = DenoiserParams(objective="v", beta_schedule=name, rescale_betas_zero_snr=True)
    schedule = schedule_of(params)
    plain = schedule_of(DenoiserParams(objective="v", beta_schedule=name))
    theirs = rescale_zero_terminal_snr(torch.tensor(plain.beta_array(), dtype=torch.float64))
    np.testing.assert_allclose(schedule.beta_array(), theirs.numpy(), atol=1e-12)
    assert (schedule.spacing, plain.spacing) == ("trailing", "leading")
    signal, spread = Betas(schedule, CPU).levels(torch.tensor([999]))
    assert (float(signal), float(spread)) == (0, 1)


def test_times_of_a_flow_are_uniform_or_logit_normal_and_shifted():
    def drawn(**fields):
        return forward_of(DenoiserParams(objective="flow", **fields), CPU).times(20000, generator())

    uniform = drawn()
    assert 0 <= float(uniform.min()) <= float(uniform.max()) <= 1
    assert abs(float(uniform.mean()) - 0.5) < 0.01
    logits = torch.logit(drawn(times="logit_normal", logit_mean=0.5, logit_std=1.5))
    assert abs(float(logits.mean()) - 0.5) < 0.05
    assert abs(float(logits.std()) - 1.5) < 0.05
    assert torch.allclose(drawn(shift=3.0), 3 * uniform / (1 + 2 * uniform))
    assert isinstance(forward_of(DenoiserParams(objective="flow"), CPU), StraightPath)


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [
        {"objective": "x0"},
        {"objective": "flow", "times": "logit_normal", "shift": 2.0},
        {"objective": "v", "rescale_betas_zero_snr": True},
        {"objective": "eps", "min_snr": 5.0},
    ],
)
def test_every_objective_trains(fields):
    job = denoiser_job(CPU, **fields)
    before = [float(job.gradients(n)) for n in range(8)]
    for n in range(60):
        job.step(n, 0.0)
    after = [float(job.gradients(n)) for n in range(8)]  # the same images, times and noise
    assert np.mean(after) < 0.98 * np.mean(before)


def test_a_row_for_every_objective():
    assert set(OBJECTIVES) == {"epsilon", "v_prediction", "sample", "flow"}
