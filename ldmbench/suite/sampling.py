"""Ways of sampling that a model does not have: refused before anything runs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ldmbench.catalog.samplers import OF_BETAS, OF_FLOWS
from ldmbench.errors import InputError
from ldmbench.sample.flow import Flow, Interval, asked_at, why_not_flow
from ldmbench.sample.grids import is_uneven as lies_unevenly
from ldmbench.sample.limits import (
    solver_grid,
    why_not_interval,
    why_not_sampler,
    why_not_steps,
)
from ldmbench.sample.objectives import flow_of, schedule_of
from ldmbench.sample.schedule import Schedule
from ldmbench.schema.models import DenoiserParams, LdmModel, Model, ModelFacts
from ldmbench.schema.protocol import Protocol
from ldmbench.schema.sample import SampleParams
from ldmbench.schema.suite import Suite
from ldmbench.suite.axes import many, plain_class
from ldmbench.suite.protocols import first_pinned, protocols_of, rule_of
from ldmbench.suite.read import Loc

EARLY = ("leading", "compvis")
NO_SIGNAL = (
    "has no signal at its last timestep (rescale_betas_zero_snr), where this rule does not begin"
    " (arXiv:2305.08891, section 3.3); allowed: trailing, linspace, or leave it out"
)


def check_sampling(
    suite: Suite, name: str, model: LdmModel, datasets: Sequence[str]
) -> Iterator[tuple[Loc, str]]:
    """Yield (place, problem) of the step counts that a model is to be sampled with.

    Where `include` or `exclude` leave cells out, those that are left are checked by their worker.

    Args:
        suite: as written.
        name: of the model.
        model: one that is trained here.
        datasets: those it is crossed with.
    """
    for process, (sampler, steps, rule) in itertools.product(
        _processes(model), _all_ways(suite, datasets)
    ):
        if isinstance(process, Flow):
            why = why_not_flow(process, steps, sampler=sampler)
            kind = "denoiser.objective: flow"
        else:
            why = why_not_steps(sampler, steps, schedule=process, timesteps=rule)
            kind = f"denoiser.timesteps: {process.T}"
            if _is_rescaled(process) and rule in EARLY:
                yield ("sample", "timesteps"), f"found {rule}, but models.{name} {NO_SIGNAL}"
        if why and sampler in (OF_FLOWS if isinstance(process, Flow) else OF_BETAS):
            yield (
                ("sample", "steps"),
                f"found {steps}, which {sampler} cannot use with models.{name} ({kind}): {why}",
            )
        elif why:
            yield ("sample", "sampler"), f"found {sampler}, for models.{name} ({kind}): {why}"


def _processes(model: LdmModel) -> Iterator[Schedule | Flow]:
    """Yield the forward processes of a model, of those that samplers tell apart."""
    written, plain = model.denoiser, plain_class(model.denoiser)
    for objective in many(written.objective):
        if objective == "regression":  # sampled in its own way, see `plan.expand`
            continue
        for rescaled in many(written.rescale_betas_zero_snr) if objective != "flow" else (False,):
            params = plain(
                objective=objective, timesteps=written.timesteps, rescale_betas_zero_snr=rescaled
            )
            yield schedule_of(params) or flow_of(params) or Flow()


def _is_rescaled(schedule: Schedule) -> bool:
    return bool(dict(schedule.options).get("rescale_betas_zero_snr"))


def check_loaded_sampling(
    suite: Suite, name: str, facts: ModelFacts, datasets: Sequence[str]
) -> Iterator[tuple[Loc, str]]:
    """Yield (place, problem) of the samplers that cannot run a loaded model's schedule.

    Args:
        suite: as written.
        name: of the model.
        facts: of the model.
        datasets: those it is crossed with.
    """
    for sampler, steps, rule in () if facts.own else _all_ways(suite, datasets):
        if facts.flow:
            why = why_not_flow(Flow.of(facts.flow), steps, sampler=sampler)
        else:
            config, own = facts.scheduler, facts.timesteps
            why = why_not_sampler(sampler, steps, config=config, rule=rule or own)
        if why:
            yield (
                ("sample", "sampler"),
                f"found {sampler} with {steps} steps, which models.{name} cannot use: {why}",
            )


def check_intervals(
    suite: Suite, name: str, model: Model, facts: ModelFacts | None, datasets: Sequence[str]
) -> Iterator[tuple[Loc, str]]:
    """Yield (place, problem) of intervals in which a model cannot be guided.

    Args:
        suite: as written.
        name: of the model.
        model: as written.
        facts: of a model from disk.
        datasets: those it is crossed with.
    """
    written = suite.sample.guidance_interval
    asked: list[tuple[Loc, Interval]]
    asked = [(("sample", "guidance_interval"), one) for one in _intervals(written)]
    own = getattr(model, "guidance_interval", None)
    asked += [] if own is None else [(("models", name, "guidance_interval"), own)]
    if asked and set(many(suite.sample.guidance)) == {1}:
        yield asked[0][0], "changes nothing at guidance 1; write sample.guidance, or leave it out"
        return
    if model.kind == "call" or (facts and facts.own):
        if asked:
            yield (
                asked[0][0],
                f"does not reach models.{name}, which samples by itself; leave it out"
                + (f", or make it one of models.{name}.options" if model.kind == "call" else ""),
            )
        return
    processes = list(_processes(model)) if model.kind == "ldm" else _loaded_process(facts)
    ways = list(_all_ways(suite, datasets))
    for (place, interval), process in itertools.product(asked, processes):
        for sampler, steps, rule in ways or [("", 0, None)]:
            times, last = _asked_at(process, sampler, steps, rule)
            why = why_not_interval(interval, times, last=last)
            if why:
                yield place, f"found {list(interval)}, for models.{name}: {why}"
                break


def _intervals(written: object) -> tuple[Interval, ...]:
    """Return the intervals that a suite writes: one, or an axis of them."""
    if not isinstance(written, tuple):
        return ()
    several = written if any(isinstance(item, tuple) for item in written) else (written,)
    return tuple(one for one in several if one is not None)


def _loaded_process(facts: ModelFacts | None) -> list[Schedule | Flow]:
    if facts is None or not facts.samples:
        return []
    if facts.flow:
        return [Flow.of(facts.flow)]
    try:
        return [replace(Schedule.from_config(facts.scheduler), spacing=facts.timesteps)]
    except InputError:  # said of its samplers
        return []


def _asked_at(
    process: Schedule | Flow, sampler: str, steps: int, rule: str | None
) -> tuple[list[float], float]:
    """Return the times at which a network is asked, none where that is not known; and the last."""
    try:
        if isinstance(process, Flow):
            return [t for t, _ in asked_at(process, steps, sampler=sampler)], 1
        rule = rule or process.spacing or "leading"
        offset = int(dict(process.options).get("steps_offset", 0))
        grid = solver_grid(sampler, rule, steps, T=process.T, offset=offset)
        return [float(t) for t in grid], process.T - 1
    except (InputError, KeyError):
        return [], 1 if isinstance(process, Flow) else process.T - 1


def own_rule(denoiser: DenoiserParams) -> str | None:
    """Return the timestep rule of a denoiser that is trained here; None of a flow."""
    schedule = schedule_of(denoiser)
    return schedule.spacing if schedule else None


def check_kind(cell: str, sampler: str, *, is_flow: bool) -> None:
    """Refuse a sampler that a cell's model does not have, where `check_suite` saw other cells too.

    Raises:
        InputError: it samples flows and the model is none, or the other way round.
    """
    fits = OF_FLOWS if is_flow else OF_BETAS
    if sampler not in fits:
        kind = "a flow" if is_flow else "a diffusion in betas"
        raise InputError(
            f"{cell}: the model is {kind}, which {sampler} cannot sample; ask for one of:"
            f" {', '.join(fits)}, or exclude the cell"
        )


def why_not_guided(inputs: Sequence[str], null_class: int | None) -> str | None:
    """Return why a model cannot be guided, in words that follow its name; None: it can.

    Args:
        inputs: what it may be conditioned on.
        null_class: its label for no class; None of a class-conditional model that states none.
    """
    reason = "has conditioning none" if "none" in inputs else None
    if null_class is None:
        reason = "states no null class (null_class: N names it)"
    return f"{reason}, which cannot be guided; allowed: 1" if reason else None


def is_uneven(sample: SampleParams, *, T: int) -> bool:
    """Tell whether a sampler's timesteps lie otherwise than T // steps apart."""
    steps = sample.steps
    return steps <= T and lies_unevenly(sample.sampler, sample.timesteps, steps, T=T)


def _all_ways(suite: Suite, datasets: Sequence[str]) -> Iterator[tuple[str, int, str | None]]:
    """Yield the ways in which a model is sampled, once each; none where cells are left out."""
    try:
        protocols = protocols_of(suite)
    except InputError:  # said of the protocol itself
        return
    if not (suite.include or suite.exclude):
        ways = (way for dataset in datasets for way in _ways(suite.sample, dataset, protocols))
        yield from dict.fromkeys(ways)


def _ways(
    sample: SampleParams, dataset: str, protocols: Sequence[Protocol]
) -> Iterator[tuple[str, int, str | None]]:
    """Yield sampler, steps and timestep rule; what the suite leaves open is the protocol's."""
    stated, pinned = rule_of(protocols, dataset), first_pinned(protocols, "timesteps")
    axes = []
    for name in ("sampler", "steps", "timesteps"):
        ruled = getattr(stated, name, None) if name not in sample.model_fields_set else None
        value = ruled or getattr(sample, name)
        axes.append(value if isinstance(value, tuple) else (value,))
    for sampler, steps, rule in itertools.product(*axes):
        yield sampler, steps, rule or pinned
