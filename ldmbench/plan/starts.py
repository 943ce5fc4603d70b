"""Where a training starts that does not start from noise: which model's weights, and if they fit.

What config files and the suite say is compared here; the worker compares every tensor
(`models/start.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from ldmbench.catalog.tasks import TASKS, task_of_kind
from ldmbench.errors import InputError
from ldmbench.plan import networks
from ldmbench.plan.conditions import Problem
from ldmbench.plan.expand import Point, all_points
from ldmbench.plan.images import plain_name
from ldmbench.registry import nearest
from ldmbench.schema.models import (
    CallModel,
    DenoiserParams,
    FirstStageModel,
    LdmModel,
    LoadModel,
    ModelFacts,
)
from ldmbench.schema.networks import OF_NETWORK, default_multipliers
from ldmbench.schema.suite import Suite
from ldmbench.sources.models.diffusers_config import read_folder
from ldmbench.sources.models.places import is_folder
from ldmbench.suite.models import facts_of, model_place
from ldmbench.suite.starts import source_named

__all__ = ["Starts"]

NETWORK = ("network", *chain.from_iterable(OF_NETWORK.values()), "heads")
"""Fields of a denoiser that decide on its network, beside those that depend on the data."""
JOINED_TO = "none"
"""Task of a network that images may be joined to: their channels start at zero."""


@dataclass
class Starts:
    """Finds the model that a training starts from.

    Attributes:
        suite: as written.
        folder: of the suite file.
    """

    suite: Suite
    folder: Path

    def __post_init__(self) -> None:
        """Expand the suite once."""
        self._every = list(
            {(p.model, p.dataset): p for p in all_points(self.suite, self.folder)}.values()
        )
        self._cells = {p.id: p for p in all_points(self.suite, self.folder)}

    def source(self, point: Point) -> Point | None:
        """Return the point whose weights a point's training starts from; None: it starts anew.

        A model on disk becomes a point of `kind: load`.

        Raises:
            InputError: it is not there, or several are meant.
        """
        init = point.spec.init if isinstance(point.spec, LdmModel) else None
        return None if init is None else self.named(init, point)

    def named(self, init: str, point: Point) -> Point:
        """Return the point of a model that another names: of the suite, or on disk.

        Args:
            init: a model's name, its name with axes, the id of a cell, or a path.
            point: of the model that names it; of several the one that is most like it is meant.

        Raises:
            InputError: it is not there, or several are meant.
        """
        if source_named(init, self.suite.models) is not None:
            return self._of_suite(init, point)
        place = model_place(init, self.folder)
        if not place.exists():
            raise InputError(
                f"which is no model or cell of this suite{nearest(init, self.suite.models)}, and"
                f" not there (looked for {place}); allowed: {', '.join(self.suite.models)}, the id"
                " of a cell, a diffusers folder, a checkpoint with its config.yaml, or a hub id"
                " (owner/name)"
            )
        return replace(point, model=init, spec=LoadModel(kind="load", path=init))

    def problems(self, point: Point) -> Iterator[Problem]:
        """Yield why a point's training cannot start from the model that it names."""
        try:
            source = self.source(point)
            text = self._unfit(source, point) if source else None
        except InputError as error:
            text = str(error)
        if text:
            place = ("models", plain_name(point.model), "init")
            yield place, f"found '{getattr(point.spec, 'init', '')}', {text}"

    def _of_suite(self, init: str, point: Point) -> Point:
        if init in self._cells:
            return self._cells[init]
        named = [p for p in self._every if init in (p.model, plain_name(p.model))]
        if not named:
            known = dict.fromkeys(p.model for p in self._every)
            raise InputError(
                f"which is no model or cell of this suite{nearest(init, known)};"
                f" allowed: {', '.join(known)}, the id of a cell, or ./{init} for a folder"
            )
        here = [p for p in named if p.dataset == point.dataset] or named
        apart = [_apart(p, point) for p in here]
        found = [p for p, count in zip(here, apart) if count == min(apart)]
        if len(found) > 1:
            raise InputError(
                f"which is {len(found)} trainings ({', '.join(p.id for p in found[:4])}"
                f"{', ...' if len(found) > 4 else ''}); name one of these cells"
            )
        return found[0]

    def _unfit(self, source: Point, point: Point) -> str | None:
        """Return what of a source does not fit, in words that follow its name."""
        own = _trained(point).denoiser
        if isinstance(source.spec, CallModel):
            return "which is your own code and has no weights; allowed: a model with weights"
        if isinstance(source.spec, LdmModel):
            known = source.spec.denoiser.conditioning
            return _other_condition(known, own) or _other_network(source, point)
        bare = "which is a first stage without a denoiser; allowed: a diffusion model"
        if isinstance(source.spec, FirstStageModel):
            return bare
        facts = facts_of(source.spec, self.folder)
        if not facts.samples:
            return bare
        task = task_of_kind(facts.conditioning)
        conditioning = task.name if task else facts.conditioning
        return (
            _other_condition(conditioning, own)
            or _other_factor(facts, _trained(point))
            or _other_config(model_place(source.spec.path, self.folder), point)
        )


def _apart(source: Point, point: Point) -> int:
    """Return in how many fields two models differ, budgets left out."""
    sides = [
        p.spec.model_dump(mode="json", exclude={"budget", "init", "data"}) for p in (source, point)
    ]
    ours, theirs = (_flat(side) for side in sides)
    return sum(ours.get(name) != theirs.get(name) for name in {*ours, *theirs})


def _flat(values: dict[str, object], above: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in values.items():
        found |= (
            _flat(value, f"{above}{name}.") if isinstance(value, dict) else {above + name: value}
        )
    return found


def _other_condition(conditioning: str, own: DenoiserParams) -> str | None:
    task = TASKS[own.conditioning]
    joined = (
        conditioning == JOINED_TO and task.joins and not task.needs
    )  # maps have a network beside
    if conditioning == own.conditioning or joined:
        return None
    return (
        f"whose conditioning is {conditioning}, and this model's is {own.conditioning}; allowed:"
        f" conditioning: {conditioning}, or a source of conditioning {own.conditioning}"
    )


def _other_network(source: Point, point: Point) -> str | None:
    """Return what differs between the networks of two models that are trained here."""
    theirs, own = _network(source), _network(point)
    for name, value in own.items():
        if value != theirs[name]:
            return (
                f"whose {name} is {_shown(theirs[name])}, and this model's is {_shown(value)};"
                f" allowed: {_shown(theirs[name])}"
            )
    return None


def _network(point: Point) -> dict[str, object]:
    """Return what decides on the tensors of a network, by the fields of a suite."""
    spec = _trained(point)
    found = {f"denoiser.{name}": getattr(spec.denoiser, name) for name in NETWORK}
    found["denoiser.multipliers"] = _multipliers(point)
    return found | {"latent (its channels)": networks.latent_channels(spec.autoencoder)}


def _multipliers(point: Point) -> tuple[int, ...]:
    spec = _trained(point)
    side = point.data.resolution // spec.autoencoder.f
    return spec.denoiser.multipliers or default_multipliers(side)


def _trained(point: Point) -> LdmModel:
    assert isinstance(point.spec, LdmModel)
    return point.spec


def _other_factor(facts: ModelFacts, spec: LdmModel) -> str | None:
    if facts.f == spec.autoencoder.f:
        return None
    return (
        f"whose first stage has f = {facts.f}, and this model's f = {spec.autoencoder.f}; allowed:"
        f" autoencoder.f: {facts.f}"
    )


def _other_config(place: Path, point: Point) -> str | None:
    """Return what differs between a folder's network and the one that is trained here."""
    if not is_folder(place):
        return None  # of a checkpoint the worker says it
    spec, network = _trained(point), dict(read_folder(place).network)
    if spec.denoiser.network == "dit" or "num_layers" in network:
        return _other_transformer(network, spec.denoiser)
    own, side = spec.denoiser, point.data.resolution // spec.autoencoder.f
    widths = [own.channels * m for m in _multipliers(point)]
    network["attention"] = ["Attn" in name for name in network.get("down_block_types", ())]
    wanted: dict[str, object] = {
        "block_out_channels": widths,
        "layers_per_block": own.blocks,
        "attention": [side >> level in own.attention_sizes for level in range(len(widths))],
        "cross_attention_dim": own.context_channels if own.attends else None,
    }
    for name, value in wanted.items():
        found = network.get(name)
        if found and value and _shown(found) != _shown(value):
            return (
                f"whose network has {name} {_shown(found)}, and this model's has {_shown(value)};"
                " allowed: a denoiser of the same channels, multipliers, blocks, attention_sizes"
                " and context_channels"
            )
    return None


def _other_transformer(network: Mapping[str, Any], own: DenoiserParams) -> str | None:
    """Return what differs between the config of a network and one of which either is a dit."""
    if own.network != "dit" or "num_layers" not in network:
        found = "a dit" if "num_layers" in network else f"a {network.get('_class_name')}"
        return f"whose network is {found}, and this model's a {own.network}; allowed: the same kind"
    heads = network.get("num_attention_heads", 16), network.get("attention_head_dim", 72)
    theirs = (network["num_layers"], network.get("patch_size", 2), math.prod(heads))
    for name, value in zip(("depth", "patch", "width"), theirs, strict=True):
        if value != getattr(own, name):
            return (
                f"whose {name} is {value}, and this model's is {getattr(own, name)}; allowed:"
                f" {name}: {value}"
            )
    return None


def _shown(value: object) -> str:
    return str(list(value)) if isinstance(value, tuple | list) else str(value)
