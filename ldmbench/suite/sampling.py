"""Ways of sampling that a model does not have: told before anything runs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from ldmbench.errors import InputError
from ldmbench.sample.grids import is_uneven as lies_unevenly
from ldmbench.sample.limits import why_not_sampler, why_not_steps
from ldmbench.sample.schedule import Schedule
from ldmbench.schema.models import LdmModel, ModelFacts
from ldmbench.schema.protocol import Protocol
from ldmbench.schema.sample import SampleParams
from ldmbench.schema.suite import Suite
from ldmbench.suite.protocols import first_pinned, protocols_of, rule_of
from ldmbench.suite.read import Loc


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
    T = model.denoiser.timesteps
    for sampler, steps, rule in _all_ways(suite, datasets):
        why = why_not_steps(sampler, steps, schedule=Schedule(T=T), timesteps=rule)
        if why:
            yield (
                ("sample", "steps"),
                f"found {steps}, which {sampler} cannot use with models.{name}"
                f" (denoiser.timesteps: {T}): {why}",
            )


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
    for sampler, steps, rule in _all_ways(suite, datasets):
        why = why_not_sampler(sampler, steps, config=facts.scheduler, rule=rule or facts.timesteps)
        if why:
            yield (
                ("sample", "sampler"),
                f"found {sampler} with {steps} steps, which models.{name} cannot use: {why}",
            )


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
