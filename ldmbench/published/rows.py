"""Published rows: read from the two tables that ship, chosen by data set, task and metric."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources

from ldmbench.catalog.metrics import METRICS
from ldmbench.errors import InputError
from ldmbench.registry import nearest

__all__ = ["Row", "chosen", "dataset_of", "published"]

FILES = ("rows_2022.csv", "rows_today.csv")
"""Rows around arXiv:2112.10752, and rows of the models since; see docs/published.md."""

QUANTITIES = {
    **{row.label.lower(): name for name, row in METRICS.items()},
    "throughput_samples_per_s_a100": "a100_throughput",
    "overall_v100_days": "printed_days",
}
"""Metric as the tables write it, in lower case -> our name of the quantity. The tables write a
metric's label. Other metrics (FD_DINOv2, GenEval, ...) are listed only."""
_TOOLS = re.compile(r"_(torch-fidelity|ADM-script)$")
"""What the tables add to a metric that its source computed with two tools."""

DATASETS = {
    "churches": "lsunchurches",
    "church": "lsunchurches",
    "lsunchurch": "lsunchurches",
    "bedrooms": "lsunbedrooms",
    "bedroom": "lsunbedrooms",
    "lsunbedroom": "lsunbedrooms",
    "coco": "mscoco",
    "coco2017": "mscoco",
    "imagenet1k": "imagenet",
    "ilsvrc": "imagenet",
}
"""Further names of data sets, in lower case and without punctuation -> the name used here."""


@dataclass(frozen=True)
class Row:
    """One published number; texts are as its table has them, empty where its source is silent.

    Attributes:
        source: paper with version, or repository.
        table: the place in the source.
        task: unconditional, class-conditional, text-to-image, layout-to-image, inpainting,
            super-resolution x4, reconstruction, ...
        dataset: as the source names it.
        resolution: pixels of a side.
        model: as the source names it.
        f: downsampling factor.
        regularization: KL, VQ or none.
        sampler, steps, guidance_scale: how the samples were drawn.
        metric: as the source names it.
        value: the number.
        uncertainty: as printed.
        n_samples: number of samples.
        params_millions: parameters, in millions.
        note: what a reader must know: reference, labels, uint8 rule, doubts.
        evidence: where the row was read.
        confidence: how it was read.
        verified: when it was read a second time.
        printed: the number as the source prints it.
    """

    source: str
    table: str
    task: str
    dataset: str
    resolution: str
    model: str
    f: str
    regularization: str
    sampler: str
    steps: str
    guidance_scale: str
    metric: str
    value: float
    uncertainty: str
    n_samples: str
    params_millions: str
    note: str
    evidence: str
    confidence: str
    verified: str
    printed: str

    @property
    def suspect(self) -> bool:
        """Whether its note says that the printed number is probably wrong."""
        return "suspect" in self.note.lower()

    @property
    def quantity(self) -> str | None:
        """Our name of what was measured; None where ldmbench has nothing like it."""
        return QUANTITIES.get(_TOOLS.sub("", self.metric).lower())

    @cached_property
    def facts(self) -> dict[str, str]:
        """What its note says of ref, labels and uint8 (`labels=random; uint8=truncation`)."""
        found = re.findall(r"\b(ref|labels|uint8)=(.*?)(?=;|,? \w+=| and \w+=|$)", self.note)
        return {name: text.strip() for name, text in found}

    @cached_property
    def protocols(self) -> tuple[str, ...]:
        """The protocols with its reference and extractor; () where none that ships has them.

        They may differ in labels and uint8 rule, which `pairing.differences` names.
        """
        own = self.protocol
        return OF_ADM if own in OF_ADM else (own,) if own else ()

    @property
    def protocol(self) -> str | None:
        """The named protocol under which it was computed, or nearly; None: none that ships.

        `facts` says where a row differs from its protocol.
        """
        reference = self.facts.get("ref", "")
        named = next((name for name, source in _NAMED.items() if self.source == source), None)
        if named and self.task == "class-conditional":
            return named
        if self.metric.endswith("_ADM-script") or reference.startswith(("ADM", "adm_in256")):
            return "adm-2105.05233"
        if self.task == "text-to-image" and dataset_of(self.dataset) == "mscoco":
            return "coco-30k" if self.source in _LDM else None
        if reference.startswith("img512.pkl"):
            return "edm2"
        return next((name for name, sources in _PROTOCOLS.items() if self.source in sources), None)


_NAMED = {
    "dit-2212.09748": "arXiv:2212.09748",
    "sit-2401.08740": "arXiv:2401.08740",
    "repa-2410.06940": "arXiv:2410.06940",
    "lightningdit-2501.01423": "arXiv:2501.01423",
    "ddt-2504.05741": "arXiv:2504.05741",
    "rae-2510.11690": "arXiv:2510.11690",
    "mar-2406.11838": "arXiv:2406.11838",
    "jit-2511.13720": "arXiv:2511.13720",
}
"""Protocol -> the paper whose samples it scores."""
OF_ADM = ("adm-2105.05233", *(name for name in _NAMED if not name.startswith("jit")))
"""Protocols whose reference is ADM's statistics of ImageNet's training set."""
_LDM = (
    "arXiv:2112.10752v2",
    "CVPR 2022 version (presumed camera-ready)",
    "CompVis/latent-diffusion README",
)
_PROTOCOLS = {
    "ldm-2112.10752": _LDM,
    "adm-2105.05233": (
        "arXiv:2105.05233",
        "openai/guided-diffusion README",
        "openai/guided-diffusion evaluations README",
        "arXiv:2212.09748",
        "facebookresearch/DiT README",
    ),
    "edm2": ("arXiv:2312.02696", "arXiv:2404.07724", "NVlabs/edm2 code"),
}
"""Protocol -> sources whose rows were computed under it, where no note says otherwise."""


@cache
def published() -> tuple[Row, ...]:
    """Return every row that ships, in the order of its file."""
    rows: list[Row] = []
    for name in FILES:
        text = resources.files("ldmbench.published").joinpath(name).read_text("utf-8")
        rows += map(_row, csv.DictReader(io.StringIO(text)))
    return tuple(rows)


def _row(found: dict[str, str]) -> Row:
    value = found.pop("value")
    return Row(**{"verified": "", **found}, value=float(value), printed=value)


def chosen(
    *, dataset: str | None = None, task: str | None = None, metric: str | None = None
) -> tuple[Row, ...]:
    """Return the rows of a data set, a task and a metric; None takes all.

    Names are compared without case and punctuation. A data set's name also takes its splits
    (`imagenet` takes ImageNet-val); a metric is named as in the tables or as in ldmbench.

    Raises:
        InputError: if no row has the name, with the nearest that some row has.

    >>> {row.metric for row in chosen(dataset="celebahq", metric="fid")}
    {'FID'}
    """
    rows = published()
    if dataset is not None:
        wanted = _plain(dataset)
        known = {row.dataset for row in rows if row.dataset}
        named = {name for name in known if wanted in (_plain(name), dataset_of(name))}
        named = named or {name for name in known if dataset_of(name) == dataset_of(dataset)}
        _found(named, dataset, "data set", known)
        rows = tuple(row for row in rows if row.dataset in named)
    if task is not None:
        named = {row.task for row in published() if _plain(task) in _plain(row.task)}
        _found(named, task, "task", {row.task for row in published()})
        rows = tuple(row for row in rows if row.task in named)
    if metric is not None:
        both = {(row.metric, row.quantity or "") for row in published()}
        named = {name for name, ours in both if _plain(metric) in (_plain(name), _plain(ours))}
        _found(named, metric, "metric", {name for name, _ in both})
        rows = tuple(row for row in rows if row.metric in named)
    return rows


def _found(named: set[str], wanted: str, what: str, known: Iterable[str]) -> None:
    """Refuse a name that no row has."""
    names = sorted(known)
    if not named:
        raise InputError(
            f"no published row has the {what} '{wanted}'{nearest(wanted, names)}; known:"
            f" {', '.join(names)}"
        )


@cache
def dataset_of(name: str) -> str:
    """Return a data set's plain name, without its size and split.

    >>> dataset_of("CelebA-HQ"), dataset_of("lsun_churches-256"), dataset_of("ImageNet-val")
    ('celebahq', 'lsunchurches', 'imagenet')
    """
    plain = re.sub(r"(64|128|256|512|1024)$", "", _plain(name))
    plain = re.sub(r"(train|val)$", "", plain)
    return DATASETS.get(plain, plain)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
