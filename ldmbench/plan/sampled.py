"""A model and a way of sampling -> samples, speed and loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ldmbench.catalog.measures import PROBES
from ldmbench.plan.expand import Point
from ldmbench.plan.guides import Guide
from ldmbench.plan.ledger import aligned, items, whole
from ldmbench.plan.shared import Shared
from ldmbench.schema.local import Local
from ldmbench.schema.models import LdmModel
from ldmbench.schema.params import CodingParams, SamplesParams, SpeedParams, ValidationParams
from ldmbench.schema.sample import SampleParams
from ldmbench.schema.stage import Input, Role, Stage
from ldmbench.suite.sampling import is_uneven

CODING_IMAGES = 64
VALIDATION_IMAGES, VALIDATION_TIMES = 256, 8
_SPEED = [row for row in PROBES.values() if row.stage == "speed"]
TIMED, COUNTED = ({row.name for row in _SPEED if row.timed is timed} for timed in (True, False))
"""Probes of the stage speed that need times, and those that do not."""


@dataclass(frozen=True)
class Below:
    """What stands below samples, speed and coding: a model, its conditions, and what guides it.

    `guided` is another model that guides, with its first stage and denoiser; or None. `contexts`
    are those of the conditions' captions, where a frozen text encoder has read them.
    """

    autoencoder: Stage
    denoiser: Stage
    conditions: Stage | None
    local: Local
    guided: tuple[Guide, Stage, Stage] | None = None
    contexts: Stage | None = None

    def inputs(self) -> dict[str, Input]:
        """Return the model as inputs of a stage."""
        return {"autoencoder": whole(self.autoencoder), "denoiser": whole(self.denoiser)}

    def sampled_inputs(self) -> dict[str, Input]:
        """Return the model as inputs of a stage that samples: with the one that guides it."""
        if self.guided is None:
            return self.inputs()
        _, autoencoder, denoiser = self.guided
        own = {"guide": whole(denoiser), "guide_autoencoder": whole(autoencoder)}
        return {**self.inputs(), **own}

    @property
    def sampled_local(self) -> Local:
        """What a stage that samples needs to run."""
        if self.guided is None:
            return self.local
        return self.local.model_copy(update={"guide": self.guided[0].load})

    @property
    def guide_progress(self) -> float:
        """Share of its training budget of the model that guides."""
        return self.guided[0].progress if self.guided else 1.0


_SHARED = (
    "sampler", "steps", "eta", "guidance", "guidance_interval", "timesteps", "precision", "size",
)  # fmt: skip


@dataclass
class Sampled:
    """Plans samples, and what is measured of models by probes."""

    shared: Shared

    def samples(self, point: Point, below: Below, sample: SampleParams) -> Stage:
        """Plan samples."""
        traits = self.shared.about(point)
        # Timesteps do not lie T // steps apart, as they once were taken.
        uneven = not traits.is_own and is_uneven(sample, T=traits.T)
        rounded = sample.guidance != 1 or sample.precision != "float32"
        # Condition and null condition, once two batches, are one.
        one_batch = isinstance(point.spec, LdmModel) and rounded
        inputs = below.sampled_inputs()
        params = SamplesParams(
            **_way(below, sample),
            quantize=sample.quantize,
            seed=sample.seed,
            progress=sample.checkpoint,
            micro_batch=sample.micro_batch,
            step="to-next" if uneven else None,
            evaluation="one-batch" if one_batch else None,
        )
        if below.conditions:
            inputs["conditions"] = aligned(below.conditions)
        if below.contexts:
            inputs["contexts"] = aligned(below.contexts)
        return self.shared.ledger.add(
            "samples",
            params,
            inputs,
            shard=sample_shard(sample.micro_batch),
            count=sample.count,
            local=below.sampled_local.model_copy(update={"conditioning": traits.conditioning}),
        )

    def probed(self, point: Point, below: Below, sample: SampleParams) -> dict[Role, Stage]:
        """Plan what the probes of the suite ask of a model that samples."""
        probes, denoises = set(self.shared.suite.probes), not self.shared.about(point).is_own
        roles: dict[Role, Stage] = {}
        if "coding" in probes and denoises:
            roles[Role("coding")] = self._coding(point, below, sample)
        if "validation_loss" in probes and denoises:
            roles[Role("validation_loss")] = self._validation(point, below, sample)
        if {*TIMED, *COUNTED} & probes:
            roles[Role("speed")] = self._speed(point, below, sample)
        return roles

    def _coding(self, point: Point, below: Below, sample: SampleParams) -> Stage:
        inputs = {**below.inputs(), "images": self.shared.held_out(point, CODING_IMAGES)}
        params = CodingParams(progress=sample.checkpoint)
        return self.shared.ledger.add("coding", params, inputs, local=below.local)

    def _validation(self, point: Point, below: Below, sample: SampleParams) -> Stage:
        inputs = {**below.inputs(), "images": self.shared.held_out(point, VALIDATION_IMAGES)}
        params = ValidationParams(progress=sample.checkpoint, times=VALIDATION_TIMES)
        return self.shared.ledger.add("coding", params, inputs, local=below.local)

    def _speed(self, point: Point, below: Below, sample: SampleParams) -> Stage:
        """Plan one measurement for all sample seeds, with the conditions of seed 0."""
        inputs = below.sampled_inputs()
        conditions = self.shared.conditions(point, sample.model_copy(update={"seed": 0}))
        if conditions:
            inputs["conditions"] = items(conditions, self.shared.suite.speed.batch)
        settings, probes = self.shared.suite.speed, set(self.shared.suite.probes)
        timed = bool(TIMED & probes)  # without, there is no warm-up and no yardstick
        params = SpeedParams(
            **_way(below, sample),
            batch=settings.batch,
            repeats=settings.repeats,
            only=None if timed else tuple(sorted(COUNTED & probes)),
        )
        return self.shared.ledger.add("speed", params, inputs, local=below.sampled_local)


def sample_shard(micro_batch: int) -> int:
    """Return the samples in one shard: whole micro-batches, 64 or more."""
    return micro_batch * max(1, -(-64 // micro_batch))


def _way(below: Below, sample: SampleParams) -> dict[str, Any]:
    """Return the fields of `Sampling` that samples and their speed share."""
    own = sample.model_dump(include={*_SHARED})
    return own | {"guide_progress": below.guide_progress}
