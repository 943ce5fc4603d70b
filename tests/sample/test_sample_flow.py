"""Flows: paths and conversions as their sources compute them, solvers against exact solutions."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from ldmbench.errors import InputError
from ldmbench.sample import step_noise
from ldmbench.sample.flow import (
    Flow,
    Sde,
    asked_at,
    evaluations,
    is_guided,
    shifted,
    times_of,
    why_not_flow,
)
from ldmbench.sample.paths import levels_at, noise_of, score_of, velocity_of
from ldmbench.sample.velocity import integrate

SHAPE = (2, 3, 3)
SIT = Flow(noise_at=0, grid="points", last_heun=True, guided_by="evaluation")
SIT_NOISE = replace(SIT, prediction="noise", margins=(1e-3, 1e-3))
REPA = Flow(state="float64", sde=Sde(form="linear"))
FLOWS = [
    SIT,
    REPA,
    replace(SIT, path="cosine", margins=(1e-3, 1e-3)),
    replace(REPA, path="cosine", margins=(1e-3, 1e-3)),
    replace(SIT, path="vp", margins=(0.0, 1e-3)),
    replace(REPA, path="vp", margins=(0.0, 1e-3)),
]
MEAN, DEVIATION = 0.7, 0.3
"""Of the data in the tests below: Gaussian, so that the velocity is known."""


@pytest.fixture(scope="module")
def golden():
    found = np.load(Path(__file__).parents[1] / "golden" / "flows.npz")
    return {name: torch.as_tensor(found[name]) for name in found}


def apart(ours, theirs):
    return float((ours - theirs).abs().max() / theirs.abs().max())


def column(t):
    return t.reshape(-1, 1, 1, 1)


def exact(flow):
    """Return the velocity of Gaussian data as a field, by the path's derivatives."""

    def field(z, t, guided):
        at = levels_at(flow, t.double().clamp(1e-9, 1 - 1e-9))
        a, s, ratio, gain = (column(x) for x in at)
        z = z.double()
        noise = s * (z - a * MEAN) / (a**2 * DEVIATION**2 + s**2)
        clean = MEAN + a * DEVIATION**2 * (z - a * MEAN) / (a**2 * DEVIATION**2 + s**2)
        change = a * ratio  # a', and s' of s gain = a s' - a' s
        return (change * clean + (s * gain + change * s) / a * noise).to(torch.float32)

    return field


@pytest.mark.golden
@pytest.mark.parametrize(("case", "flow"), [("sit", SIT), ("sit_noise", SIT_NOISE), ("repa", REPA)])
def test_conversions_are_those_of_the_sources(golden, case, flow):
    z, t = golden[f"{case}_x"], golden[f"{case}_t"]
    z = z.expand(len(t), -1, -1, -1)
    out = golden.get(f"{case}_out", golden[f"{case}_velocity"])[:, 0]
    velocity = velocity_of(flow, out, z, t)
    score = score_of(flow, velocity, z, t)
    for i in range(len(t)):  # 1 / t makes the first ones large
        assert apart(velocity[i], golden[f"{case}_velocity"][i, 0]) < 1e-5
        assert apart(score[i], golden[f"{case}_score"][i, 0]) < 1e-5


@pytest.mark.golden
@pytest.mark.parametrize("case", ["lightningdit", "lightningdit_woshift"])
def test_a_shift_moves_times_as_lightningdit_does(golden, case):
    grid, shift = golden[f"{case}_grid"].numpy(), float(golden[f"{case}_shift"])
    ours = times_of(replace(SIT, shift=shift), len(grid))
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, grid, rtol=1e-6)


@pytest.mark.golden
def test_both_ends_of_an_interval_are_guided(golden):
    interval = tuple(golden["repa_edges"].tolist())
    times = times_of(REPA, 6)
    assert list(times) == torch.linspace(1, 0, 7, dtype=torch.float64).tolist()
    guided = [is_guided(REPA, t, t, interval=interval) for t in times]
    assert guided == [False, False, True, True, True, False, False]


def test_heun_is_guided_by_the_begin_of_its_step_or_by_each_evaluation():
    interval = (0.5, 1.0)
    asked = asked_at(REPA, 4, sampler="heun")
    assert asked == [
        (1, 1),
        (0.75, 1),
        (0.75, 0.75),
        (0.5, 0.75),
        (0.5, 0.5),
        (0.25, 0.5),
        (0.25,) * 2,
    ]
    by_step = [is_guided(REPA, *one, interval=interval) for one in asked]
    by_time = [is_guided(SIT, *one, interval=interval) for one in asked]
    assert by_step == [True] * 6 + [False]
    assert by_time == [True] * 5 + [False] * 2


@pytest.mark.parametrize(
    ("flow", "sampler", "steps", "count"),
    [
        (SIT, "euler", 6, 5),
        (SIT, "heun", 6, 10),
        (SIT, "sde", 8, 8),
        (replace(SIT, sde=Sde(last="none", last_size=0.0)), "sde", 8, 7),
        (replace(SIT, sde=Sde(method="heun")), "sde", 8, 15),
        (REPA, "euler", 6, 6),
        (REPA, "heun", 6, 11),
        (REPA, "sde", 8, 8),
    ],
)
def test_evaluations_are_those_that_the_solver_makes(flow, sampler, steps, count):
    asked = []

    def field(z, t, guided):
        asked.append(float(t[0]))
        return -z

    noise = torch.randn(2, *SHAPE)
    integrate(field, noise, flow=flow, steps=steps, sampler=sampler, seeds=[1, 2])
    assert len(asked) == evaluations(flow, steps, sampler=sampler) == count
    listed = [t for t, _ in asked_at(flow, steps, sampler=sampler)]
    assert asked == pytest.approx(listed, abs=1e-6)
    assert evaluations(flow, steps, sampler=sampler, guidance=3.0) == 2 * count


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize(
    ("sampler", "steps", "most"), [("euler", 400, 2e-2), ("heun", 60, 6e-3), ("dopri5", 2, 2e-3)]
)
def test_the_ode_leads_to_the_exact_latents(flow, sampler, steps, most):
    noise = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0))
    ours = integrate(exact(flow), noise, flow=flow, steps=steps, sampler=sampler)
    expected = MEAN + DEVIATION * noise
    assert ours.dtype == noise.dtype
    assert apart(ours, expected) < most


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("form", ["sigma", "linear", "decreasing", "bump", "constant", "sbdm"])
def test_the_sde_keeps_mean_and_deviation(flow, form):
    flow = replace(flow, sde=Sde(form=form, norm=0.8, last_size=0.01), margins=(1e-3, 1e-3))
    noise = torch.randn(4000, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    draws = torch.randn(149, *noise.shape, generator=torch.Generator().manual_seed(1))
    ours = integrate(exact(flow), noise, flow=flow, steps=150, sampler="sde", step_noise=draws)
    assert abs(float(ours.mean()) - MEAN) < 0.02
    assert abs(float(ours.std()) - DEVIATION) < 0.03


@pytest.mark.parametrize("flow", FLOWS)
def test_noise_score_and_velocity_are_one_thing(flow):
    t, z = torch.tensor([0.1, 0.4, 0.8]), torch.randn(3, *SHAPE)
    velocity = exact(flow)(z, t, True)
    noise, score = noise_of(flow, velocity, z, t), score_of(flow, velocity, z, t)
    for prediction, out in (("noise", noise), ("score", score)):
        back = velocity_of(replace(flow, prediction=prediction), out, z, t)
        assert apart(back, velocity) < 1e-4


def test_a_sample_of_dopri5_does_not_depend_on_its_batch():
    noise = torch.randn(4, *SHAPE)
    whole = integrate(exact(SIT), noise, flow=SIT, steps=2, sampler="dopri5")
    one = integrate(exact(SIT), noise[2:3], flow=SIT, steps=2, sampler="dopri5")
    assert apart(whole[2:3], one) < 1e-6


def test_dopri5_begins_anew_where_guidance_jumps():
    seen = []

    def field(z, t, guided):
        seen.append((float(t.min()), float(t.max()), guided))
        return z * (2.0 if guided else 0.5)

    z = torch.ones(2, *SHAPE)
    flow = replace(SIT, state="float64")
    ours = integrate(field, z, flow=flow, steps=2, sampler="dopri5", interval=(0.25, 0.5))
    assert float(ours[0, 0, 0, 0]) == pytest.approx(np.exp(2.0 * 0.25 + 0.5 * 0.75), rel=1e-3)
    assert all(0.25 - 1e-9 <= a <= b <= 0.5 + 1e-9 for a, b, guided in seen if guided)


def test_what_a_flow_cannot_do_is_refused():
    assert "ddim" in why_not_flow(SIT, 10, sampler="ddim")
    assert "from 2" in why_not_flow(SIT, 1, sampler="euler")
    assert why_not_flow(REPA, 1, sampler="euler") is None
    assert "sbdm" in why_not_flow(replace(SIT, sde=Sde(form="sbdm")), 10, sampler="sde")
    with pytest.raises(InputError, match="last step"):
        Sde(last="none")
    with pytest.raises(InputError, match="seeds"):
        integrate(exact(SIT), torch.randn(1, *SHAPE), flow=SIT, steps=4, sampler="sde")
    with pytest.raises(InputError, match="dopri5"):
        asked_at(SIT, 4, sampler="dopri5")


def test_seeds_draw_the_noise_of_the_sde():
    noise, seeds = torch.randn(2, *SHAPE), [3, 4]
    drawn = step_noise(seeds, draws=4, shape=SHAPE)
    by_seed = integrate(exact(SIT), noise, flow=SIT, steps=5, sampler="sde", seeds=seeds)
    by_noise = integrate(exact(SIT), noise, flow=SIT, steps=5, sampler="sde", step_noise=drawn)
    assert torch.equal(by_seed, by_noise)


def test_a_shift_keeps_both_ends():
    times = shifted(np.linspace(0, 1, 5), 3.0)
    assert times[0] == 0
    assert times[-1] == 1
    assert (np.diff(times) > 0).all()
    assert times[2] == pytest.approx(0.75)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_the_grid_of_diffusers_scheduler_is_its_own(shift):
    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(5)
    ours = times_of(Flow(grid="scheduler", shift=shift), 5)
    np.testing.assert_allclose(ours, scheduler.sigmas.numpy(), rtol=1e-5, atol=1e-7)

    noise = torch.randn(2, *SHAPE)
    z = noise
    for t in scheduler.timesteps:
        z = scheduler.step(exact(REPA)(z, t.expand(2) / 1000, True), t, z).prev_sample
    euler = integrate(exact(REPA), noise, flow=Flow(grid="scheduler", shift=shift), steps=5)
    assert apart(euler, z) < 1e-4


def test_a_flow_is_written_by_what_differs_and_read_again():
    for flow in (*FLOWS, SIT_NOISE, replace(SIT, sde=Sde(form="linear", last="none", last_size=0))):
        assert Flow.of(json.loads(json.dumps(flow.fields()))) == flow
    assert Flow().fields() == {}
    with pytest.raises(InputError, match="no flow has"):
        Flow.of({"betas": 3})
