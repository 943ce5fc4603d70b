"""How many images a metric needs, and refuses suites that have too few, before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ldmbench.catalog.metrics import METRICS
from ldmbench.errors import SuiteError
from ldmbench.schema.protocol import Protocol
from ldmbench.schema.stage import Cell, Plan, Role, Stage
from ldmbench.suite.load import LoadedSuite
from ldmbench.suite.read import Loc

__all__ = ["Least", "check_enough", "least"]


class Least(NamedTuple):
    """The fewest samples and real images a metric is defined for, and why."""

    samples: int
    reals: int
    why: str


def least(metric: str, protocol: Protocol) -> Least:
    """Return how many images a metric of the catalog needs under a protocol."""
    row = METRICS[metric].least
    most = max((getattr(protocol, name) for name in row.per), default=0)
    return Least(row.samples + most, row.reals + most, row.why.format(most=most))


def check_enough(plan: Plan, loaded: LoadedSuite) -> None:
    """Refuse a suite with fewer samples or real images than its metrics need.

    Raises:
        SuiteError: with all problems in one pass.
    """
    stages = plan.by_key()
    lacks = dict.fromkeys(lack for cell in plan.cells for lack in _lacks(cell, plan, stages))
    found: dict[tuple[Loc, str], list[str]] = {}
    for loc, metric, text in lacks:
        found.setdefault((loc, text), []).append(metric)
    if found:
        raise SuiteError(
            [
                loaded.places.problem(
                    loc,
                    text.format(
                        metrics=", ".join(metrics), need="need" if len(metrics) > 1 else "needs"
                    ),
                )
                for (loc, text), metrics in found.items()
            ]
        )


def _lacks(cell: Cell, plan: Plan, stages: Mapping[str, Stage]) -> Iterator[tuple[Loc, str, str]]:
    """Yield where too few are asked for, by which metric, and what to say of such metrics."""
    dataset = cell.dataset.partition("[")[0]
    places: dict[str, Loc] = {
        "generated": ("sample", "count"),
        "reference": ("data", dataset, "reference"),
    }
    for protocol in plan.protocols:
        for metric in (name for name in plan.metrics if name in METRICS):
            key = cell.roles.get(Role(METRICS[metric].family.name, protocol.name))
            if key is None:
                continue
            need = least(metric, protocol)
            for (role, loc), count in zip(places.items(), need[:2], strict=True):
                given = stages[key].inputs.get(role)
                if given and given.count is not None and given.count < count:
                    what = "samples" if role == "generated" else "real images"
                    why = "" if metric in need.why else need.why
                    yield (
                        loc,
                        metric,
                        f"found {given.count} {what}, but {{metrics}} under {protocol.name}"
                        f" {{need}} {count} or more{why}",
                    )
