"""Rules of the objectives that a suite trains by: fields of one objective, what excludes what."""

from __future__ import annotations

from collections.abc import Iterator

from ldmbench.catalog.tasks import TASKS
from ldmbench.schema.models import DenoiserParams
from ldmbench.schema.networks import OF_OBJECTIVE, Objective
from ldmbench.suite.axes import many

__all__ = ["check_objective"]


def check_objective(written: DenoiserParams) -> Iterator[tuple[str, str]]:
    """Yield (field, problem) of a denoiser's objective.

    Args:
        written: the written form of a denoiser; a field may hold an axis.
    """
    objectives: tuple[Objective, ...] = many(written.objective)
    yield from _foreign(written, objectives)
    yield from _aimless(written, objectives)
    if "logit_normal" not in many(written.times):
        for field in ("logit_mean", "logit_std"):
            if field in written.model_fields_set:
                yield field, "is a field of times logit_normal; write times: logit_normal"
    if True not in many(written.rescale_betas_zero_snr):
        return
    if "eps" in objectives:
        yield (
            "rescale_betas_zero_snr",
            "leaves no signal at the last timestep, where the noise says nothing of the image"
            " (objective eps); allowed with objective: v, x0",
        )
    if any(gamma is not None for gamma in many(written.min_snr)):
        yield (
            "min_snr",
            "weighs the last timestep by 0 under rescale_betas_zero_snr, and sampling begins there;"
            " leave one of the two out",
        )


def _aimless(
    written: DenoiserParams, objectives: tuple[Objective, ...]
) -> Iterator[tuple[str, str]]:
    """Yield the conditions of which no very image follows, so that a regression has no target."""
    for task in many(written.conditioning) if "regression" in objectives else ():
        if not TASKS[task].aims:
            able = ", ".join(name for name, row in TASKS.items() if row.aims)
            yield (
                "objective",
                f"found regression beside conditioning: {task}, of which no one image follows;"
                f" allowed with conditioning: {able}",
            )


def _foreign(
    written: DenoiserParams, objectives: tuple[Objective, ...]
) -> Iterator[tuple[str, str]]:
    """Yield fields that none of the objectives has."""
    of_these = {field for objective in objectives for field in OF_OBJECTIVE[objective]}
    for field in sorted({f for fields in OF_OBJECTIVE.values() for f in fields} - of_these):
        if field in written.model_fields_set:
            others = [name for name, fields in OF_OBJECTIVE.items() if field in fields]
            yield (
                field,
                f"is a field of objective {', '.join(others)}, but objective is"
                f" {' and '.join(objectives)}; leave it out",
            )
