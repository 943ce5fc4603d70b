"""Code of the user's own in a plan: what it is keyed by, and what a metric of it is handed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ldmbench.plan.digests import Digests
from ldmbench.plugin_files import Noun
from ldmbench.schema.local import Code
from ldmbench.suite.own import ARGUMENTS, metric_arguments


def own_code(name: str, folder: Path, digests: Digests, *, noun: Noun) -> Code:
    """Return what a worker must know to make a target, its digest among it."""
    place = folder.resolve()
    digest = digests.plugin(name, place, noun)
    return Code(target=name, folder=str(place), digest=digest)


@dataclass(frozen=True)
class Asked:
    """What a metric is handed.

    Attributes:
        roles: input -> its side, and whether it is images or features.
        reads: argument -> input and file.
    """

    roles: dict[str, tuple[str, str]]
    reads: dict[str, tuple[str, str]]


def metric_inputs(name: str, folder: Path) -> Asked:
    """Return what the arguments of a metric ask for; each side's features come before its images.

    Raises:
        InputError: as `metric_arguments`.
    """
    roles: dict[str, tuple[str, str]] = {}
    wanted = metric_arguments(name, folder.resolve())
    for side, kind in sorted({ARGUMENTS[argument] for argument in wanted}):
        roles[side if side not in roles else f"{side}_{kind}"] = side, kind
    named = {pair: role for role, pair in roles.items()}
    files = {a: f"{a.removeprefix('reference_')}.npy" for a in wanted}
    return Asked(roles, {a: (named[ARGUMENTS[a]], files[a]) for a in wanted})


def score_name(metric: str) -> str:
    """Return how a metric is called in records: module:name with a point, for its colon."""
    return metric.replace(":", ".")
