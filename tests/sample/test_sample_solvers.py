"""Solvers agree with diffusers' own loops, and are deterministic per sample."""

import re

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    PNDMScheduler,
    UniPCMultistepScheduler,
)

from ldmbench import errors
from ldmbench.sample import (
    SAMPLERS,
    Schedule,
    evaluations,
    initial_noise,
    mix,
    sample,
    spaced_grid,
    step_noise,
    step_seeds,
    timesteps_of,
)
from ldmbench.sample.grids import is_uneven
from ldmbench.sample.limits import why_not_sampler, why_not_steps
from ldmbench.sample.next_timestep import NextTimestepDDIMScheduler, NextTimestepPNDMScheduler
from ldmbench.sample.steps import posterior_mean

CLASSES = {
    "ddim": DDIMScheduler,
    "ddpm": DDPMScheduler,
    "dpm++": DPMSolverMultistepScheduler,
    "euler": EulerDiscreteScheduler,
    "heun": HeunDiscreteScheduler,
    "pndm": PNDMScheduler,
    "unipc": UniPCMultistepScheduler,
}
SHAPE = (3, 4, 4)


def eps(z, t):
    return torch.tanh(z) * (0.5 + t.float()[:, None, None, None] / 2000)


def loop(scheduler, noise, steps, **extra):
    scheduler.set_timesteps(steps)
    z = noise * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        out = eps(scheduler.scale_model_input(z, t), t.expand(len(z)))
        z = scheduler.step(out, t, z, **extra).prev_sample
    return z


@pytest.mark.parametrize("sampler", [s for s in SAMPLERS if s != "ddpm"])
@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
def test_deterministic_solvers_are_diffusers_own(sampler, spacing):
    if spacing == "linspace" and sampler in ("ddim", "pndm"):
        pytest.skip("diffusers steps by T // n there; see below")
    config = {"beta_schedule": "scaled_linear", "beta_start": 0.0015, "beta_end": 0.0195}
    extra = {"clip_sample": False} if sampler == "ddim" else {}
    scheduler = CLASSES[sampler](**config, **extra, timestep_spacing=spacing)
    noise = initial_noise([0, 1], seed=0, shape=SHAPE)
    schedule = Schedule.from_config(dict(scheduler.config) | {"timestep_spacing": "leading"})
    ours = sample(eps, noise, schedule=schedule, steps=10, sampler=sampler, timesteps=spacing)
    assert torch.equal(ours, loop(scheduler, noise, 10))


UNEVEN = [("linspace", 5), ("linspace", 10), ("trailing", 30)]


@pytest.mark.parametrize("sampler", ["ddim", "pndm"])
@pytest.mark.parametrize(("rule", "steps"), UNEVEN)
@pytest.mark.parametrize("eta", [0.0, 0.7])
def test_uneven_grids_are_stepped_to_their_next_timestep(sampler, rule, steps, eta):
    """As diffusers' schedulers do with a schedule of these timesteps alone, every one visited."""
    if sampler == "pndm" and eta:
        pytest.skip("pndm has no eta")
    schedule, grid = Schedule(), spaced_grid(rule, steps)
    bars = np.concatenate([[1.0], schedule.alphas_cumprod()[grid]])
    few = {"num_train_timesteps": steps, "trained_betas": list(1 - bars[1:] / bars[:-1])}
    own = {"skip_prk_steps": True} if sampler == "pndm" else {"clip_sample": False}
    scheduler = CLASSES[sampler](**few, **own, set_alpha_to_one=False)
    scheduler.final_alpha_cumprod = torch.tensor(schedule.alphas_cumprod()[0])
    scheduler.set_timesteps(steps)
    noise, z = (initial_noise([0, 1], seed=0, shape=SHAPE) for _ in range(2))
    draws = step_noise([1, 2], draws=steps, shape=SHAPE)
    for place, t in enumerate(scheduler.timesteps):
        extra = {"eta": eta, "variance_noise": draws[place]} if eta else {}
        out = eps(z, torch.full((2,), grid[int(t)]))
        z = scheduler.step(out, t, z, **extra).prev_sample
    run = {"schedule": schedule, "steps": steps, "sampler": sampler, "timesteps": rule}
    ours = sample(eps, noise, **run, eta=eta, step_noise=draws if eta else None)
    assert torch.allclose(ours, z, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("rule", "steps", "spread"),
    [("linspace", 5, 0.122), ("linspace", 10, 0.181), ("trailing", 30, 0.249)],
)
def test_ddim_spreads_as_equation_12_does(rule, steps, spread):
    """Of data N(0, 0.3^2) DDIM makes samples of a spread that follows from its grid alone."""
    bars = torch.tensor(Schedule().alphas_cumprod())

    def exact(z, t):
        bar = bars[t][:, None, None, None]
        return z * (1 - bar).sqrt() / (0.09 * bar + 1 - bar)

    one = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    made = sample(exact, one, schedule=Schedule(), steps=steps, timesteps=rule)
    z, ends = 1.0, [*spaced_grid(rule, steps)[::-1], 0]
    for a, b in zip(bars[ends[:-1]].tolist(), bars[ends[1:]].tolist(), strict=True):
        guess = z * (1 - a) ** 0.5 / (0.09 * a + 1 - a)
        z = (b / a) ** 0.5 * (z - (1 - a) ** 0.5 * guess) + (1 - b) ** 0.5 * guess
    assert float(made) == pytest.approx(z, rel=1e-3)
    assert z == pytest.approx(spread, abs=1e-3)


@pytest.mark.parametrize("sampler", ["ddim", "pndm"])
def test_even_grids_are_stepped_as_they_were(sampler):
    """Thinning changes no bit where the timesteps lie T // n apart, and is left out."""
    config = {"num_train_timesteps": 1000, "timestep_spacing": "trailing"}
    own = {"skip_prk_steps": True} if sampler == "pndm" else {"clip_sample": False}
    cls = {"ddim": NextTimestepDDIMScheduler, "pndm": NextTimestepPNDMScheduler}[sampler]
    plain, thinned = cls(**config, **own), cls(**config, **own)
    noise = initial_noise([0], seed=0, shape=SHAPE)
    thinned.set_timesteps(20)
    thinned.thin()
    z = noise
    for t in thinned.timesteps:
        z = thinned.step(eps(z, t.expand(1)), t, z).prev_sample
    assert torch.equal(z, loop(plain, noise, 20))
    assert not any(is_uneven(sampler, rule, n, T=1000) for rule in ("compvis", "leading", None)
                   for n in range(1, 1001))  # fmt: skip
    assert not any(is_uneven(sampler, "trailing", n, T=1000) for n in (1, 2, 5, 40, 1000))


@pytest.mark.parametrize("kind", ["fixed_small", "fixed_small_log", "fixed_large"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_ddpm_is_diffusers_own_given_the_same_noise(kind, prediction):
    scheduler = DDPMScheduler(variance_type=kind, prediction_type=prediction, clip_sample=True)
    seeds = step_seeds([5, 6], seed=1)
    noise = initial_noise([5, 6], seed=1, shape=SHAPE)
    schedule = Schedule.from_config(scheduler.config)
    ours = sample(eps, noise, schedule=schedule, steps=8, sampler="ddpm", seeds=seeds)
    generators = [torch.Generator().manual_seed(s) for s in seeds]
    theirs = loop(scheduler, noise, 8, generator=generators)
    assert torch.allclose(ours, theirs, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_no_scheduler_draws_noise_of_its_own(sampler, monkeypatch):
    def drawn(*_, **__):
        raise AssertionError("the scheduler drew noise")

    for module in {CLASSES[name].__module__ for name in SAMPLERS}:
        monkeypatch.setattr(f"{module}.randn_tensor", drawn, raising=False)
    noise, eta = initial_noise([0], seed=0, shape=SHAPE), 1.0 if sampler == "ddim" else 0.0
    run = {"schedule": Schedule(), "steps": 4, "sampler": sampler, "eta": eta}
    assert torch.isfinite(sample(eps, noise, **run, seeds=[1])).all()


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("clip", [{"clip_sample": True}, {"thresholding": True}, {}])
def test_the_mean_of_ddpm_is_diffusers_own_to_the_bit(prediction, clip):
    own = {"clip_sample": False} | clip | {"prediction_type": prediction}
    scheduler = DDPMScheduler(**own, variance_type="learned")
    scheduler.set_timesteps(8)
    noise = initial_noise([0, 1], seed=0, shape=SHAPE)
    for t in scheduler.timesteps:
        output = eps(noise, t.expand(2))
        still = torch.cat([output, torch.zeros_like(output)], dim=1)  # its noise times zero
        theirs = scheduler.step(still, t, noise).prev_sample
        assert torch.equal(posterior_mean(scheduler, output, t, noise), theirs)


def test_ddpm_uses_a_learned_variance():
    def wide(z, t):
        return torch.cat([eps(z, t), torch.sin(3 * z)], dim=1)

    scheduler = DDPMScheduler(variance_type="learned_range", clip_sample=True)
    seeds = step_seeds([0, 1], seed=2)
    noise = initial_noise([0, 1], seed=2, shape=SHAPE)
    schedule = Schedule.from_config(scheduler.config)
    ours = sample(wide, noise, schedule=schedule, steps=8, sampler="ddpm", seeds=seeds)
    scheduler.set_timesteps(8)
    z, generators = noise, [torch.Generator().manual_seed(s) for s in seeds]
    for t in scheduler.timesteps:
        z = scheduler.step(wide(z, t.expand(2)), t, z, generator=generators).prev_sample
    assert torch.allclose(ours, z, atol=2e-6, rtol=1e-5)
    plain = sample(eps, noise, schedule=schedule, steps=8, sampler="ddpm", seeds=seeds)
    assert not torch.allclose(ours, plain, atol=1e-3)
    dropped = sample(wide, noise, schedule=schedule, steps=8, sampler="ddim")
    assert torch.equal(dropped, sample(eps, noise, schedule=schedule, steps=8, sampler="ddim"))


@pytest.mark.parametrize(("sampler", "eta"), [("ddim", 0.7), ("ddpm", 0.0)])
def test_given_noise_replaces_seeds(sampler, eta):
    schedule, seeds = Schedule(), step_seeds([3, 4], seed=0)
    noise = initial_noise([3, 4], seed=0, shape=SHAPE)
    run = {"schedule": schedule, "steps": 5, "sampler": sampler, "eta": eta}
    seeded = sample(eps, noise, **run, seeds=seeds)
    given = step_noise(seeds, draws=5, shape=SHAPE)
    assert torch.equal(seeded, sample(eps, noise, **run, step_noise=given))
    with pytest.raises(errors.InputError, match="step_noise must be"):
        sample(eps, noise, **run, step_noise=given[:3])
    with pytest.raises(errors.InputError, match="give seeds"):
        sample(eps, noise, **run)
    with pytest.raises(errors.InputError, match="as many seeds"):
        sample(eps, noise, **run, seeds=seeds[:1])


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_sample_does_not_depend_on_its_neighbours(sampler):
    run = {"schedule": Schedule(), "steps": 10, "sampler": sampler}
    eta = 1.0 if sampler == "ddim" else 0.0

    def draw(indices):
        noise = initial_noise(indices, seed=7, shape=SHAPE)
        return sample(eps, noise, **run, eta=eta, seeds=step_seeds(indices, seed=7))

    state = torch.random.get_rng_state()
    together, alone = draw([9, 2, 5]), draw([5])
    assert torch.allclose(together[2:], alone, atol=1e-5)
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("steps", [5, 7, 50])
def test_compvis_rule_visits_its_grid(sampler, steps):
    schedule = Schedule(spacing="compvis")
    visited = timesteps_of(sampler, steps, schedule=schedule)
    assert sorted(set(visited)) == spaced_grid("compvis", steps)
    noise = initial_noise([0], seed=0, shape=SHAPE)
    z = sample(eps, noise, schedule=schedule, steps=steps, sampler=sampler, seeds=[1])
    assert torch.isfinite(z).all()


def test_solvers_converge_to_one_answer():
    """All solvers discretise one ODE: at many steps they agree, at few the orders show."""
    schedule, noise = Schedule(), initial_noise([0, 1], seed=0, shape=SHAPE)

    def score(z, t):  # exact for data ~ N(0, 0.5^2)
        bar = torch.tensor(schedule.alphas_cumprod(), dtype=torch.float32)[t.long()]
        bar = bar[:, None, None, None]
        return z * (1 - bar).sqrt() / (0.25 * bar + 1 - bar)

    def run(sampler, steps):
        return sample(score, noise, schedule=schedule, steps=steps, sampler=sampler)

    best = run("ddim", 1000 // 2)
    for sampler in ("dpm++", "unipc", "pndm", "euler", "heun"):
        assert (run(sampler, 100) - best).abs().max() < 0.1 * best.abs().max(), sampler


def test_evaluations_count_the_network_calls():
    for sampler in SAMPLERS:
        for spacing in ("leading", "compvis"):
            calls = []

            def counted(z, t, calls=calls):
                calls.append(t)
                return eps(z, t)

            schedule = Schedule(spacing=spacing)
            noise = initial_noise([0], seed=0, shape=SHAPE)
            sample(counted, noise, schedule=schedule, steps=7, sampler=sampler, seeds=[1])
            assert len(calls) == evaluations(sampler, 7, schedule=schedule)
            twice = evaluations(sampler, 7, schedule=schedule, guidance=3.0)
            assert twice == 2 * len(calls)
            assert all(t.shape == (1,) for t in calls)
    assert evaluations("heun", 10, schedule=Schedule()) == 19
    assert evaluations("ddim", 7, schedule=Schedule(spacing="compvis")) == 8


def test_a_draw_for_the_last_step_is_not_used():
    schedule = Schedule(options=())
    noise = initial_noise([0, 1], seed=0, shape=SHAPE)
    given = step_noise([1, 2], draws=5, shape=SHAPE)
    run = {"schedule": schedule, "steps": 5, "sampler": "ddpm"}
    four = sample(eps, noise, **run, step_noise=given[:4])
    assert torch.equal(sample(eps, noise, **run, step_noise=given), four)


def test_guidance_mixes():
    z, t = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)), torch.ones(2).long()
    mixed = mix(eps(z, t), -z, guidance=3.0, channels=3)
    assert torch.allclose(mixed, -z + 3.0 * (eps(z, t) + z))


def test_wrong_questions_are_answered():
    noise = initial_noise([0], seed=0, shape=SHAPE)
    with pytest.raises(errors.InputError, match="did you mean 'ddim'"):
        sample(eps, noise, schedule=Schedule(), steps=5, sampler="dim")
    with pytest.raises(errors.InputError, match="did you mean 'leading'"):
        sample(eps, noise, schedule=Schedule(), steps=5, timesteps="leding")
    with pytest.raises(errors.InputError, match="eta is a field of ddim"):
        sample(eps, noise, schedule=Schedule(), steps=5, sampler="heun", eta=0.5)
    with pytest.raises(errors.InputError, match="from 1 to T"):
        sample(eps, noise, schedule=Schedule(), steps=0)
    with pytest.raises(errors.InputError, match="from 1 to T"):
        sample(eps, noise, schedule=Schedule(), steps=1001)
    with pytest.raises(errors.InputError, match="the denoiser returned"):
        sample(lambda z, t: z[:, :1], noise, schedule=Schedule(), steps=5)


@pytest.mark.parametrize("spacing", ["compvis", "leading", "trailing", "linspace"])
def test_ddpm_with_all_steps_is_the_whole_chain_under_every_rule(spacing):
    schedule = Schedule(spacing=spacing)
    visited = timesteps_of("ddpm", 1000, schedule=schedule)
    assert visited == [float(t) for t in range(999, -1, -1)]
    if spacing == "leading":
        with pytest.raises(errors.InputError, match="past T - 1"):
            timesteps_of("ddim", 1000, schedule=schedule)


def test_the_whole_chain_is_diffusers_own():
    scheduler = DDPMScheduler(num_train_timesteps=20, clip_sample=False)
    seeds, noise = step_seeds([5, 6], seed=1), initial_noise([5, 6], seed=1, shape=SHAPE)
    schedule = Schedule.from_config(dict(scheduler.config) | {"steps_offset": 1})
    ours = sample(eps, noise, schedule=schedule, steps=20, sampler="ddpm", seeds=seeds)
    generators = [torch.Generator().manual_seed(s) for s in seeds]
    theirs = loop(scheduler, noise, 20, generator=generators)
    assert torch.allclose(ours, theirs, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("rule", ["compvis", "leading", "trailing", "linspace"])
@pytest.mark.parametrize("T", [15, 21, 1000])
def test_what_is_refused_without_torch_is_what_the_solvers_refuse(sampler, rule, T):
    schedule = Schedule(T=T)
    some = (1, 2, 7, 61, 103, 300, 333, 500, 501, 998, 999, 1000, 1001)
    for steps in some if T == 1000 else range(T + 2):
        told, found = why_not_steps(sampler, steps, schedule=schedule, timesteps=rule), None
        try:
            timesteps_of(sampler, steps, schedule=schedule, timesteps=rule)
        except errors.InputError as error:
            found = str(error)
        assert told == found


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("rule", ["leading", "trailing", "linspace"])
def test_what_is_not_refused_gives_finite_samples(sampler, rule):
    schedule, noise = Schedule(T=21), initial_noise([0], seed=0, shape=SHAPE)
    for steps in range(2, 22):
        if why_not_steps(sampler, steps, schedule=schedule, timesteps=rule) is None:
            run = {"schedule": schedule, "sampler": sampler, "timesteps": rule, "seeds": [1]}
            assert torch.isfinite(sample(eps, noise, steps=steps, **run)).all(), steps


@pytest.mark.parametrize("algorithm", ["sde-dpmsolver++", "sde-dpmsolver"])
def test_a_solver_that_would_draw_from_the_global_generator_is_refused(algorithm):
    config = dict(DPMSolverMultistepScheduler().config) | {"algorithm_type": algorithm}
    schedule, noise = Schedule.from_config(config), initial_noise([0], seed=0, shape=SHAPE)
    said = rf"algorithm_type {re.escape(algorithm)}, which draws noise at its steps"
    with pytest.raises(errors.InputError, match=said) as caught:
        sample(eps, noise, schedule=schedule, steps=5, sampler="dpm++")
    assert f"or write {algorithm[4:]} into its scheduler_config.json" in str(caught.value)
    sample(eps, noise, schedule=schedule, steps=5, sampler="unipc")


@pytest.mark.parametrize(
    ("sampler", "steps", "options", "rule", "said"),
    [
        ("pndm", 5, {"rescale_betas_zero_snr": True}, "leading", "pndm would leave out and so run"),
        ("heun", 5, {"rescale_betas_zero_snr": True}, "trailing", "ask for one of ddim, ddpm, dp"),
        ("pndm", 1, {}, "leading", "over 4 timesteps unless its scheduler has skip_prk_steps, fou"),
        ("pndm", 3, {}, None, "ask for 4 steps or more, or for another sampler"),
        ("pndm", 5, {}, "linspace", "the rule 'linspace' lays 5 of 1000 otherwise; ask for timest"),
        ("pndm", 30, {}, "trailing", "the rule 'trailing' lays 30 of 1000 otherwise"),
        ("pndm", 5, {"prediction_type": "sample"}, "leading", "this model's is the clean latent"),
    ],
)
def test_what_a_scheduler_would_run_wrongly_or_not_at_all_is_refused(
    sampler, steps, options, rule, said
):
    schedule, noise = Schedule.from_config(options), initial_noise([0], seed=0, shape=SHAPE)
    run = {"schedule": schedule, "steps": steps, "sampler": sampler, "timesteps": rule}
    with pytest.raises(errors.InputError, match=said) as caught:
        sample(eps, noise, **run)
    assert why_not_sampler(sampler, steps, config=options, rule=rule) == str(caught.value)
    assert why_not_steps(sampler, steps, schedule=schedule, timesteps=rule) == str(caught.value)


def test_runge_kutta_begins_with_four_steps_and_samplers_that_rescale_run():
    noise = initial_noise([0], seed=0, shape=SHAPE)
    for rule in ("leading", "trailing", "compvis"):
        run = {"steps": 4, "sampler": "pndm", "timesteps": rule}
        assert torch.isfinite(sample(eps, noise, schedule=Schedule(options=()), **run)).all()
    rescaled = Schedule.from_config(
        {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction", "clip_sample": False}
    )
    for sampler in ("ddim", "ddpm", "dpm++", "euler", "unipc"):
        run = {"steps": 5, "sampler": sampler, "timesteps": "trailing", "seeds": [1]}
        assert torch.isfinite(sample(eps, noise, schedule=rescaled, **run)).all(), sampler


@pytest.mark.parametrize("sampler", ["ddim", "dpm++", "heun"])
def test_guidance_is_on_in_its_interval_alone(sampler):
    schedule, noise = Schedule(), torch.randn(2, *SHAPE)
    interval, guided, plain = (200, 751), [], []

    def on(z, t):
        guided.append(float(t[0]))
        return eps(z, t)

    def off(z, t):
        plain.append(float(t[0]))
        return eps(z, t)

    way = {"schedule": schedule, "steps": 8, "sampler": sampler}
    sample(on, noise, interval=interval, unguided=off, **way)
    visited = timesteps_of(sampler, 8, schedule=schedule)
    assert guided == [t for t in visited if 200 <= t <= 751]
    assert plain == [t for t in visited if not 200 <= t <= 751]
    asked = evaluations(sampler, 8, schedule=schedule, guidance=2.0, interval=interval)
    assert asked == len(visited) + len(guided)

    def double(z, t):
        return 2 * eps(z, t)

    everywhere = sample(double, noise, interval=(0, 999), unguided=eps, **way)
    assert torch.equal(everywhere, sample(double, noise, **way))
