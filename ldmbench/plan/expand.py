"""Axes -> points: every combination a suite asks for, in a stable order."""

from __future__ import annotations

import fnmatch
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Generic, TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError

from ldmbench.catalog.samplers import SAMPLERS
from ldmbench.errors import InputError
from ldmbench.schema.base import AxisValue
from ldmbench.schema.data import Data
from ldmbench.schema.models import (
    DenoiserParams,
    FirstStageModel,
    FirstStageSection,
    LdmModel,
    LoadModel,
    Model,
)
from ldmbench.schema.networks import fields_of_others
from ldmbench.schema.sample import SampleParams
from ldmbench.schema.suite import Suite
from ldmbench.suite.alone import has_posterior, is_alone
from ldmbench.suite.axes import axes_of, many, plain_class
from ldmbench.suite.first_stages import with_facts
from ldmbench.suite.models import samples_itself
from ldmbench.suite.protocols import protocols_of, rule_of


@dataclass(frozen=True)
class Point:
    """One combination: a dataset, a model and a way of sampling, and the id of its cell.

    A first stage alone is not sampled: its `sample` is None.
    """

    id: str
    dataset: str
    data: Data
    model: str
    spec: Model
    sample: SampleParams | None
    axes: Mapping[str, AxisValue]

    @property
    def size(self) -> str:
        """Of its samples in training sides, as the suite writes it: 1, 2, 2x3."""
        return "1" if self.sample is None else self.sample.size


N = TypeVar("N", bound=BaseModel)
PLACES = ("path", "guidance_model")
"""Fields whose values may be paths, which ids shorten."""
Axes: TypeAlias = Mapping[str, AxisValue]


@dataclass(frozen=True)
class Variant(Generic[N]):
    """One combination of a section's axes: its title, its parameters, its swept fields."""

    title: str
    noun: N
    axes: Mapping[str, AxisValue]


def points(written: Suite, folder: Path = Path()) -> list[Point]:
    """Return the points of a checked suite: include and exclude applied, duplicates merged.

    Args:
        written: the suite.
        folder: of its file, where first stages on disk are looked for.
    """
    return [
        p for p in all_points(written, folder) if _wanted(p.id, written.include, written.exclude)
    ]


def all_points(written: Suite, folder: Path = Path()) -> list[Point]:
    """Return the points of a checked suite before include and exclude; arguments as `points`."""
    found: dict[str, Point] = {}
    for model, data, sample in _combinations(written, folder):
        cell, axes, noun = f"{model.title}/{data.title}", {**data.axes, **model.axes}, None
        if sample is not None:
            cell, axes = f"{cell}/{sample_title(sample.noun, sample.axes)}", {**axes, **sample.axes}
            noun = sample.noun
        found.setdefault(
            cell, Point(cell, data.title, data.noun, model.title, model.noun, noun, axes)
        )
    return list(found.values())


def _combinations(
    written: Suite, folder: Path
) -> Iterator[tuple[Variant[Model], Variant[Data], Variant[SampleParams] | None]]:
    datasets = {name: variants(name, noun) for name, noun in written.data.items()}
    samples = {
        name: [_settled(v) for v in variants("", _ruled(written, name))] for name in datasets
    }
    for name, noun in written.models.items():
        chosen = [noun.data] if noun.data else list(datasets)
        for variant in variants(name, noun, folder):
            model = Variant(variant.title, with_facts(variant.noun, folder), variant.axes)
            alone = is_alone(variant.noun, folder)
            own = not alone and samples_itself(variant.noun, folder)
            for dataset in chosen:
                ways = [None] if alone else samples[dataset]
                for data, sample in itertools.product(datasets[dataset], ways):
                    yield model, data, sample and _for(model.noun, sample, is_own=own)


def _for(model: Model, sample: Variant[SampleParams], *, is_own: bool) -> Variant[SampleParams]:
    """Return a way of sampling as a model has it."""
    if isinstance(model, LdmModel) and model.denoiser.objective == "regression":
        return _once(sample)
    return _own(sample) if is_own else sample


def _ruled(written: Suite, dataset: str) -> SampleParams:
    """Return the sample section, its open fields filled by the protocol's rule for a dataset."""
    rule = rule_of(protocols_of(written), dataset)
    sample = _with_choice(written)
    if rule is None:
        return sample
    steps = rule.steps if len(rule.steps) > 1 else rule.steps[0]
    stated = {"sampler": rule.sampler, "steps": steps, "eta": rule.eta}
    open_ = {
        name: value
        for name, value in stated.items()
        if value is not None and name not in written.sample.model_fields_set
    }
    return sample.model_copy(update=open_)


def _with_choice(written: Suite) -> SampleParams:
    """Return the sample section with the seeds on which a field is chosen after those scored."""
    if written.choose is None:
        return written.sample
    seeds = (*many(written.sample.seed), *written.choose.seeds)
    return written.sample.model_copy(update={"seed": seeds})


def variants(name: str, noun: N, folder: Path = Path()) -> list[Variant[N]]:
    """Return every combination of the axes inside one section, titled `name[axis=value,...]`.

    Args:
        name: of the section.
        noun: as written.
        folder: of the suite file, where models on disk are looked for.
    """
    axes = dict(axes_of(noun))
    names = _short_names(list(axes))
    places = {p: _short_places(v) for p, v in axes.items() if p.rpartition(".")[2] in PLACES}
    merged: dict[str, Variant[N]] = {}
    for values in itertools.product(*axes.values()):
        chosen = dict(zip(axes, values, strict=True))
        plain = _without_posterior(_plain_noun(name, noun, chosen), folder)
        told = _meaningful(plain, chosen, folder)
        shown = {
            names[path]: places.get(path, {}).get(value, value) for path, value in told.items()
        }
        inside = ",".join(f"{key}={_text(value)}" for key, value in shown.items())
        title = f"{name}[{inside}]" if inside else name
        merged.setdefault(title, Variant(title, plain, shown))
    return list(merged.values())


def _plain_noun(name: str, noun: N, chosen: Axes) -> N:
    values = noun.model_dump(warnings=False, exclude_unset=True)  # presets fill what is unset
    for path, value in chosen.items():
        *above, last = path.split(".")
        section = values
        for part in above:
            section = section[part]
        section[last] = value
    try:
        plain = plain_class(noun).model_validate(values)
    except ValidationError as error:
        known = ", ".join(f"{path} = {_text(value)}" for path, value in chosen.items())
        raise InputError(f"{name}: {known}: {error.errors()[0]['msg']}") from None
    if isinstance(plain, LdmModel):
        return plain.model_copy(update=_meaningless(plain))
    return plain


def _without_posterior(noun: N, folder: Path) -> N:
    """Return a first stage alone without `latents` where it has no posterior."""
    open_: dict[str, object] = {"latents": None}
    if isinstance(noun, FirstStageModel) and not has_posterior(noun, folder):
        open_ = {"autoencoder": noun.autoencoder.model_copy(update=open_)}
    elif not isinstance(noun, LoadModel) or noun.latents is None or has_posterior(noun, folder):
        return noun
    return noun.model_copy(update=open_)


def _meaningless(model: LdmModel) -> dict[str, BaseModel]:
    """Return sections without fields of a first stage when f = 1, and of the other network."""
    unused = fields_of_others(model.denoiser.network, model.denoiser.objective)
    defaults = {name: DenoiserParams.model_fields[name].default for name in unused}
    if model.denoiser.conditioning != "caption":
        defaults["text_encoder"] = None
    settled: dict[str, BaseModel] = {"denoiser": model.denoiser.model_copy(update=defaults)}
    if model.autoencoder.f == 1:
        settled["autoencoder"] = FirstStageSection(f=1)
    return settled


def _meaningful(noun: BaseModel, chosen: Axes, folder: Path) -> Axes:
    """Drop axes that mean nothing for this combination: see `_meaningless`."""
    if isinstance(noun, FirstStageModel | LoadModel):
        kept = has_posterior(noun, folder)
        return {p: v for p, v in chosen.items() if kept or p.rpartition(".")[2] != "latents"}
    if not isinstance(noun, LdmModel):
        return chosen
    unused = {
        f"denoiser.{name}"
        for name in fields_of_others(noun.denoiser.network, noun.denoiser.objective)
    }
    if noun.denoiser.conditioning != "caption":
        unused.add("denoiser.text_encoder")
    if noun.autoencoder.f == 1:
        unused |= {p for p in chosen if p.startswith("autoencoder.") and p != "autoencoder.f"}
    return {path: value for path, value in chosen.items() if path not in unused}


def _short_names(paths: Sequence[str]) -> dict[str, str]:
    """Return the shortest ends of dotted paths that tell them apart; budgets keep their word."""
    names = {}
    for path in paths:
        parts = path.split(".")
        least = 2 if len(parts) > 1 and parts[-2] == "budget" else 1
        for length in range(least, len(parts) + 1):
            end = ".".join(parts[-length:])
            if sum(p == end or p.endswith(f".{end}") for p in paths) == 1 or length == len(parts):
                names[path] = end
                break
    return names


def _short_places(paths: Sequence[AxisValue]) -> dict[AxisValue, AxisValue]:
    """Return the part of each path that tells it from the others, which stands in cells' ids."""
    parts = {path: PurePosixPath(str(path)).parts[::-1] for path in paths if path is not None}
    for depth in range(min(map(len, parts.values()), default=0)):
        shown: dict[AxisValue, AxisValue] = {path: part[depth] for path, part in parts.items()}
        if len(set(shown.values())) == len(shown):
            return shown
    return {path: str(path).replace("/", "_") for path in parts}


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return "x".join(_text(part) for part in value)
    return str(value)


def _settled(variant: Variant[SampleParams]) -> Variant[SampleParams]:
    """Fix what a sampler ignores: eta, where its steps draw no noise by it."""
    noun = variant.noun
    row = SAMPLERS.get(noun.sampler)
    if noun.eta == 0 or (row and row.noise == "eta"):
        return variant
    return Variant(variant.title, noun.model_copy(update={"eta": 0.0}), variant.axes)


def _own(variant: Variant[SampleParams]) -> Variant[SampleParams]:
    """Leave to the user's code what is its own affair: sampler, eta, step rule, quantisation."""
    own = {
        "sampler": "own",
        "eta": 0.0,
        "guidance_interval": None,
        "timesteps": None,
        "quantize": None,
        "precision": "float32",
        "size": "1",
    }
    axes = {name: value for name, value in variant.axes.items() if name not in own}
    return Variant(variant.title, variant.noun.model_copy(update=own), axes)


def _once(variant: Variant[SampleParams]) -> Variant[SampleParams]:
    """Ask a regression once, whatever the suite says of steps and guidance."""
    once = {
        "sampler": "ddim",
        "steps": 1,
        "eta": 0.0,
        "guidance": 1.0,
        "guidance_interval": None,
        "timesteps": None,
    }
    axes = {name: value for name, value in variant.axes.items() if name not in once}
    return Variant(variant.title, variant.noun.model_copy(update=once), axes)


def sample_title(sample: SampleParams, axes: Axes) -> str:
    """Return the sampling part of a cell id, such as ddim-50/g1/s0."""
    eta = f"-eta{sample.eta:g}" if sample.eta else ""
    known = {"sampler", "steps", "eta", "guidance", "seed", "count", "checkpoint", "size"}
    more = {k: v for k, v in axes.items() if k not in known}
    if sample.size != "1":
        more["size"] = sample.size
    rest = ",".join(f"{k}={_text(v)}" for k, v in more.items())
    at = f"@{sample.checkpoint:g}" if sample.checkpoint != 1 else ""
    extra = f"[{rest}]" if rest else ""
    return f"{sample.sampler}-{sample.steps}{eta}{at}{extra}/g{sample.guidance:g}/s{sample.seed}"


def matches(cell: str, glob: str) -> bool:
    """Tell whether a cell id matches a glob; * and ? are special, brackets are not."""
    return fnmatch.fnmatchcase(cell, glob.replace("[", "[[]"))  # never backtracks far


def _wanted(cell: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    kept = not include or any(matches(cell, glob) for glob in include)
    return kept and not any(matches(cell, glob) for glob in exclude)
