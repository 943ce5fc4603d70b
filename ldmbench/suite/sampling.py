"""Ways of sampling that a model trained here does not have: told before it is trained."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from ldmbench.errors import InputError
from ldmbench.registry import resolve
from ldmbench.schema.protocol import Protocol
from ldmbench.suite.load import Loc
from ldmbench.suite.protocols import first_pinned, protocols_of, rule_of

REFUSAL = "ldmbench.sample.grids:refusal"
SCHEDULE = "ldmbench.sample.schedule:Schedule"


def check_sampling(
    suite: Any, name: str, model: Any, datasets: Sequence[str]
) -> Iterator[tuple[Loc, str]]:
    """Yield (place, problem) of the step counts that a model is to be sampled with.

    Where `include` or `exclude` leave cells out, those that are left are checked by their worker.

    Args:
        suite: as written.
        name: of the model.
        model: one that is trained here.
        datasets: those it is crossed with.
    """
    try:
        protocols = protocols_of(suite)
    except InputError:  # said of the protocol itself
        return
    if suite.include or suite.exclude:
        return
    refusal: Any = resolve(REFUSAL)
    schedule: Any = resolve(SCHEDULE)
    T = model.denoiser.timesteps
    ways = (way for dataset in datasets for way in _ways(suite.sample, dataset, protocols))
    for sampler, steps, rule in dict.fromkeys(ways):
        why = refusal(sampler, steps, schedule=schedule(T=T), timesteps=rule)
        if why:
            yield (
                ("sample", "steps"),
                f"found {steps}, which {sampler} cannot take of models.{name}, whose"
                f" denoiser.timesteps is {T}: {why}",
            )


def _ways(
    sample: Any, dataset: str, protocols: Sequence[Protocol]
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
