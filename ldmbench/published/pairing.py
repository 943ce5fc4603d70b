"""Which published rows correspond to a measured cell, and where their protocols differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ldmbench.published.rows import Row, dataset_of

__all__ = ["Measured", "corresponds", "differences"]

TASKS = {
    "none": "unconditional",
    "class": "class-conditional",
    "caption": "text-to-image",
    "text": "text-to-image",
    "layout": "layout-to-image",
    "inpainting": "inpainting",
}
"""What a model is conditioned on -> the task of published rows. Other tasks have no rows that a
suite's metrics measure (super-resolution's are against references of their own)."""

_LABELS = {"balanced": "balanced", "random": "random"}
_UINT8 = {"truncat": "truncate", "round half up": "round", "np.round": "round"}
"""How a row's note begins a rule -> the rule in ldmbench's words."""


_NAMED = {"classes", "count", "quantize"}
"""Fields that a suite may change of a protocol whose rows still correspond: `differences` names
them."""


@dataclass(frozen=True)
class Measured:
    """What of a cell decides which rows stand beside it.

    Attributes:
        conditioning: of its model; None: a record from before this was kept.
        datasets: names of its data: the suite's, and the kind of data set.
        resolution: pixels of a side; None where neither record nor name says it.
        protocol: under which its scores were computed.
        f: downsampling factor of its first stage.
        regularization: of its first stage: kl, vq.
        signatures: quantity -> fields of its score's signature: n, quant, classes, ...
    """

    conditioning: str | None
    datasets: tuple[str, ...]
    resolution: int | None
    protocol: str
    f: int | None = None
    regularization: str | None = None
    signatures: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def corresponds(row: Row, cell: Measured) -> bool:
    """Whether a row measures what the cell measures: task, data, resolution and protocol are equal.

    Protocols with the same reference and extractor count as equal, and so does one of which a suite
    changes no more than classes, count or quantize; `differences` names the rest.

    A row that does not say one of these, or a cell of which it is not known, never corresponds.
    Rows of first stages also need the cell's f and regularisation.
    """
    if row.quantity is None or _base(cell.protocol) not in row.protocols:
        return False
    if row.resolution != str(cell.resolution):
        return False
    if dataset_of(row.dataset) not in {dataset_of(name) for name in cell.datasets}:
        return False
    if row.task == "reconstruction":
        stage = (str(cell.f or ""), cell.regularization or "")
        return (row.f, row.regularization.lower()) == stage
    return row.task == TASKS.get(cell.conditioning or "")


def _base(protocol: str) -> str:
    """Return the protocol that one is a change of, if the change leaves its rows beside it."""
    base, bracket, inside = protocol.partition("[")
    changed = {part.partition("=")[0] for part in inside.removesuffix("]").split(",") if part}
    return base if bracket and changed <= _NAMED else protocol


def differences(row: Row, cells: Sequence[Measured]) -> tuple[str, ...]:
    """Return where the row's protocol differs from that of cells it corresponds to, a part each.

    >>> from ldmbench.published.rows import published
    >>> row = next(r for r in published() if r.facts.get("labels") == "balanced 50 per class")
    >>> here = Measured("class", ("imagenet",), 256, "adm-2105.05233",
    ...                 signatures={"fid": {"classes": "random"}})
    >>> differences(row, [here])[0]
    'labels balanced, here random'
    """
    rules = {
        "classes": ("labels", _rule(row.facts.get("labels", ""), _LABELS)),
        "quant": ("uint8", _rule(row.facts.get("uint8", ""), _UINT8)),
        "n": ("n", row.n_samples),
    }
    parts = []
    for name, (label, there) in rules.items():
        signed = [cell.signatures.get(row.quantity or "", {}) for cell in cells]
        here = {fields[name] for fields in signed if name in fields}
        if there and here and here != {there}:
            parts.append(f"{label} {there}, here {', '.join(sorted(here))}")
    return tuple(parts)


def _rule(text: str, words: dict[str, str]) -> str:
    """Return a rule of a note in our words, or as it is written."""
    plain = text.lower()
    return next((ours for begins, ours in words.items() if plain.startswith(begins)), text)
