"""What a suite names and is not on disk: one list, each place once, with what belongs there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ldmbench.catalog.datasets import DATASETS
from ldmbench.catalog.extractors import EXTRACTORS
from ldmbench.catalog.metrics import METRICS, networks_of
from ldmbench.errors import InputError
from ldmbench.schema.data import FilesData
from ldmbench.schema.suite import Suite
from ldmbench.sources.evaluators import list_weights
from ldmbench.suite.problems import Places, dotted
from ldmbench.suite.protocols import protocols_of
from ldmbench.suite.read import Loc

__all__ = ["Absent", "absent_data", "in_one_list"]


class Absent(str):
    """A problem in words: what a suite names is not on disk."""

    __slots__ = ()


def absent_data(suite: Suite, folder: Path) -> Iterator[tuple[Loc, str]]:
    """Yield (place, problem) of each data set that is not there: what it is, where to get it.

    Args:
        suite: as written.
        folder: of the suite file.
    """
    for name, data in suite.data.items():
        if isinstance(data, FilesData) and not (folder / data.path).exists():
            place = (folder / data.path).resolve()
            row = DATASETS[data.kind]
            known = "".join(
                f"; {label}{value}"
                for label, value in (("from ", row.home), ("licence: ", row.licence))
                if value
            )
            yield (
                ("data", name, "path"),
                Absent(
                    f"found '{data.path}', which is not there (looked for {place}); allowed:"
                    f" {row.about}: {row.expects}{known}"
                ),
            )


def in_one_list(problems: Sequence[tuple[Loc, str]], places: Places, suite: Suite) -> list[str]:
    """Return problems as lines; what is not on disk comes last, each place once, with a total.

    Args:
        problems: (place in the suite, text).
        places: lines of the suite.
        suite: as written.
    """
    wanted: dict[str, list[Loc]] = {}
    for loc, text in sorted(problems, key=lambda row: places.line(row[0])):
        if isinstance(text, Absent):
            wanted.setdefault(text, []).append(loc)
    lines = [places.problem(loc, text) for loc, text in problems if not isinstance(text, Absent)]
    for text, locs in wanted.items():
        others = ", ".join(dict.fromkeys(dotted(loc) for loc in locs[1:]))
        lines.append(places.problem(locs[0], text + (f"; also {others}" if others else "")))
    if len(wanted) > 1:
        lines.append(_total(wanted, places, suite))
    return lines


def _total(wanted: dict[str, list[Loc]], places: Places, suite: Suite) -> str:
    """Return how many places are missing, how to name others, and which weights are, too."""
    first = dotted(next(iter(wanted.values()))[0])
    weights = ", ".join(_lacking_weights(suite))
    scored = f"; weights of evaluators to fetch or import, too: {weights}" if weights else ""
    return (
        f"{places.path}: {len(wanted)} files or folders have to be on disk, and ldmbench downloads"
        f" none of them; `--set {first}=PATH` names another place{scored}"
    )


def _lacking_weights(suite: Suite) -> list[str]:
    """Return the weights of evaluators that the metrics of a suite need and are not here."""
    needed: set[str] = set()
    try:
        protocols = protocols_of(suite)
    except InputError:  # said of the protocol itself
        return []
    for protocol in protocols:
        for family in (METRICS[name].family for name in suite.metrics if name in METRICS):
            spec = EXTRACTORS.get(family.extractor_of(protocol))
            if spec is not None and family.needs not in ("images", "neighbours"):
                needed.add(spec.weights)
            needed |= {*networks_of(family, {**protocol.model_dump(), **family.constants})}
    lacking = (state.weights.name for state in list_weights() if state.state == "missing")
    return [name for name in lacking if name in needed]
