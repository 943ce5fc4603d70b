"""What a plan will cost, before anything runs: FLOPs by formula, seconds by this store's history.

The figures are for planning, those of a run are measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ldmbench.catalog.extractors import EXTRACTORS
from ldmbench.catalog.samplers import SAMPLERS
from ldmbench.plan import networks
from ldmbench.schema.models import AutoencoderParams, Budget
from ldmbench.schema.params import (
    Autoencoder,
    CalledDenoiser,
    CalledStage,
    CoderSpeedParams,
    CodingParams,
    ContextsParams,
    DatasetParams,
    FeaturesParams,
    IdentityStage,
    Latents,
    LoadedDenoiser,
    LoadedStage,
    NeighboursParams,
    Params,
    ReconstructionsParams,
    SamplesParams,
    Sampling,
    ShippedStage,
    SpeedParams,
    TakenStage,
    TrainedDenoiser,
    TrainedStage,
    ValidationParams,
)
from ldmbench.schema.sample import factors_of
from ldmbench.schema.stage import Manifest, Stage

RATES = {"cpu": 40e9, "cuda": 12e12}
"""FLOP/s in these small networks where the store has no history yet."""
EXTRACTOR_FLOPS = 1.15e10
"""Of one image, where the extractor is the user's own."""
SECONDS = {"scores": 1.0, "speed": 8.0, "dataset": 0.3, "coding": 0.0, "loading": 2.0}
"""Of stages that are not made of a network's FLOPs: per stage or shard."""
CHECKPOINTS = 3
"""Training checkpoints in scratch at a time: the last two, and the next while it is written."""


@dataclass(frozen=True)
class Cost:
    """What a stage takes.

    Attributes:
        flops: of a network's work.
        seconds: of other work.
        bytes: on disk that stay.
        scratch: bytes on disk while it runs, at the most.
    """

    flops: float = 0.0
    seconds: float = 0.0
    bytes: float = 0.0
    scratch: float = 0.0

    def times(self, share: float) -> Cost:
        """Return a share of this cost; scratch is taken as soon as anything runs."""
        scratch = self.scratch if share else 0.0
        return Cost(self.flops * share, self.seconds * share, self.bytes * share, scratch)


def stage_cost(stage: Stage, stages: Mapping[str, Stage]) -> Cost:
    """Return what a whole stage (all its shards) costs."""
    count, params = stage.count or 1, stage.params
    side, f = _resolution(stage, stages), _factor(stage, stages)
    pixels = float(side * side)
    match params:
        case DatasetParams():
            shards = math.ceil(count / (stage.shard or count))
            size = 0.0 if params.split == "prompts" else 4 * pixels
            return Cost(seconds=SECONDS["dataset"] * shards, bytes=count * size)
        case TrainedStage():
            return _first_stage(params.section, side)
        case IdentityStage() | ShippedStage():
            return Cost()
        case TrainedDenoiser():
            return _denoiser(stage, params, side // f, _latent_channels(stage, stages), f)
        case LoadedStage() | TakenStage() | CalledStage() | LoadedDenoiser() | CalledDenoiser():
            kept = stage.local.bytes if isinstance(params, TakenStage) else 0
            return Cost(seconds=SECONDS["loading"], bytes=kept)
        case Latents() | ContextsParams():
            flops, size = _encoded(stage, params, stages, side, f)
            return Cost(flops=count * flops, bytes=count * size)
        case ReconstructionsParams():
            flops = 2 * sum(_encoder_of(stage, stages, side))
            return Cost(flops=count * flops, bytes=count * 3 * pixels)
        case SamplesParams():
            flops = _sample(stage, params, stages, side, f)
            return Cost(flops=count * flops, bytes=count * 3 * pixels * _area(params))
        case FeaturesParams():
            spec = EXTRACTORS.get(params.extractor)
            flops = spec.flops if spec else EXTRACTOR_FLOPS
            return Cost(flops=count * flops, bytes=count * 4 * _width(params))
        case SpeedParams() | CoderSpeedParams():
            batches = params.repeats + 2 if params.only is None else int("memory" in params.only)
            both = sum(_encoder_of(stage, stages, side))
            each = (
                both
                if isinstance(params, CoderSpeedParams)
                else _sample(stage, params, stages, side, f)
            )
            return Cost(flops=params.batch * batches * each, seconds=2.0)
        case ValidationParams():
            images = stage.inputs["images"].count or 0
            return Cost(flops=images * params.times * _denoiser_of(stage, stages, side // f, f))
        case CodingParams():
            return Cost(flops=64 * 21 * _denoiser_of(stage, stages, side // f, f))
    return Cost(seconds=SECONDS.get(stage.kind, 1.0))


def rough_seconds(stage: Stage, stages: Mapping[str, Stage]) -> float:
    """Return the seconds of a whole stage on some processor, to weigh stages against each other."""
    cost = stage_cost(stage, stages)
    return cost.seconds + cost.flops / RATES["cpu"]


def flops_per_second(
    history: Iterable[Manifest], stages: Mapping[str, Stage], machine: Mapping[str, object]
) -> float:
    """Return a device's speed: that of stages which ran on its like, else a rule of thumb.

    Args:
        history: of this store.
        stages: of the plan.
        machine: what this machine says of the device: its kind, and its name or its processor's.
    """
    named = "processor" if machine["kind"] == "cpu" else "device"
    done = [
        (
            stage_cost(stages[m.key], stages).flops,
            m.seconds * float(str(m.machine.get("devices", 1))),
        )
        for m in history
        if m.key in stages and all(m.machine.get(n) == machine[n] for n in ("kind", named))
    ]
    flops, seconds = sum(f for f, _ in done), sum(s for _, s in done)
    return flops / seconds if seconds > 1 and flops else RATES[str(machine["kind"])]


def _devices(manifest: Manifest) -> int:
    """Return how many devices trained together."""
    found = manifest.machine.get("devices", 1)
    return found if isinstance(found, int) else 1


def _params(stage: Stage, role: str, stages: Mapping[str, Stage]) -> Params:
    return stages[stage.inputs[role].key].params


def _resolution(stage: Stage, stages: Mapping[str, Stage]) -> int:
    """Return the side of the images a stage is about."""
    while True:
        params = stage.params
        if isinstance(params, Autoencoder | CalledDenoiser):
            return params.resolution
        if isinstance(params, DatasetParams):
            return params.source.resolution
        inputs = list(stage.inputs.values())
        if not inputs:
            return 0
        stage = stages[inputs[0].key]


def _factor(stage: Stage, stages: Mapping[str, Stage]) -> int:
    item = stage.inputs.get("autoencoder")
    params = stages[item.key].params if item else stage.params
    factor = getattr(params, "f", 1)  # that of code of the user's own is not known
    return int(factor) if isinstance(params, Autoencoder) else 1


def _section(params: Params) -> AutoencoderParams:
    """Return the fields of a first stage of ldmbench's own; one that ships has default widths."""
    match params:
        case TrainedStage():
            return params.section
        case ShippedStage():
            return AutoencoderParams.model_validate(
                {"f": params.f, "regularization": params.regularization}
            )
    return AutoencoderParams(f=1)


def _latent_channels(stage: Stage, stages: Mapping[str, Stage]) -> int:
    """Return the channels of the latents of a first stage; of a loaded model's, four."""
    params = _params(stage, "autoencoder", stages)
    if isinstance(params, TakenStage):
        return params.channels
    return 4 if isinstance(params, LoadedStage) else networks.latent_channels(_section(params))


def _width(params: FeaturesParams) -> float:
    """Return the numbers that features of an image have."""
    spec = EXTRACTORS.get(params.extractor)
    if spec is None:
        return 2048.0
    spatial = (spec.spatial or 0) if params.spatial else 0
    return float(spec.dim + (spec.logits or 0) + spatial + (spec.dim if spec.text else 0))


def _first_stage(params: AutoencoderParams, side: int) -> Cost:
    """Return what training a first stage takes: itself, its judge, and a state of both."""
    layers = [*networks.encoder(params, side), *networks.decoder(params, side)]
    size = 4 * networks.weights(layers)
    judge = 4 * networks.discriminator_weights()
    forward = 2.5 * networks.flops(layers)
    return _training(params.budget, params.batch, forward, size, 3 * (size + judge))


def _denoiser(stage: Stage, params: TrainedDenoiser, side: int, channels: int, f: int) -> Cost:
    """Return what training a denoiser takes: its weights, their average, and all a step needs.

    A checkpoint holds both and two moments of the optimizer; weights that are kept on the way lie
    in scratch until the end. Where a text encoder reads each batch, its work counts.
    """
    section = params.section
    layers = networks.denoiser(section, side, channels, f)
    size, kept = 4 * networks.weights(layers), len(set(section.checkpoints) - {1.0})
    forward = networks.flops(layers)
    cost = _training(params.budget, section.batch, forward, 2 * size * (1 + kept), 4 * size)
    images = cost.flops / (3 * forward)
    read = images * _reading(stage, section.caption_tokens) if section.text_encoder else 0.0
    return replace(cost, flops=cost.flops + read, scratch=cost.scratch + 2 * kept * size)


def _encoded(
    stage: Stage,
    params: Latents | ContextsParams,
    stages: Mapping[str, Stage],
    side: int,
    f: int,
) -> tuple[float, float]:
    """Return FLOPs and bytes of what is encoded once of one image, or of its caption."""
    if isinstance(params, ContextsParams):
        return _reading(stage, params.tokens), bytes_of(params)
    if isinstance(params, NeighboursParams):
        return _encoder_of(stage, stages, side)[0], 8 * params.neighbours
    size = 4 * _latent_channels(stage, stages) * (side / f) ** 2
    return _encoder_of(stage, stages, side)[0], size


def bytes_of(params: ContextsParams) -> int:
    """Return the bytes of one caption's context."""
    return 4 * params.tokens * params.width


def _reading(stage: Stage, tokens: int) -> float:
    """Return the FLOPs of a frozen text encoder that reads a caption: 2 per weight and token."""
    return 2 * stage.local.bytes / 4 * tokens


def _training(budget: Budget, batch: int, forward: float, size: float, checkpoint: float) -> Cost:
    """Return what a budget takes.

    Args:
        budget: how long to train.
        batch: images a step.
        forward: FLOPs of one pass of one image.
        size: bytes of what is kept.
        checkpoint: bytes of the state of training.
    """
    scratch = CHECKPOINTS * checkpoint
    if budget.flops:
        return Cost(flops=budget.flops, bytes=size, scratch=scratch)
    if budget.device_minutes:
        return Cost(seconds=60 * budget.device_minutes, bytes=size, scratch=scratch)
    images = budget.images or (budget.steps or 0) * batch
    return Cost(flops=3 * forward * images, bytes=size, scratch=scratch)


def _encoder_of(stage: Stage, stages: Mapping[str, Stage], side: int) -> tuple[float, float]:
    below = stages[stage.inputs["autoencoder"].key]
    params = below.params
    if isinstance(params, TakenStage):
        flops = _of_size(below, share=0.5, positions=side * side)
        return flops, flops
    if isinstance(params, LoadedStage):
        flops = 0.0 if params.f == 1 else _of_size(stage, share=0.2, positions=side * side)
        return flops, flops
    section = _section(params)
    both = (networks.encoder(section, side), networks.decoder(section, side))
    return networks.flops(both[0]), networks.flops(both[1])


def _denoiser_of(stage: Stage, stages: Mapping[str, Stage], side: int, f: int) -> float:
    params = _params(stage, "denoiser", stages)
    if isinstance(params, TrainedDenoiser):
        channels = _latent_channels(stage, stages)
        return networks.flops(networks.denoiser(params.section, side, channels, f))
    return _of_size(stage, share=0.8, positions=side * side)


def _of_size(stage: Stage, *, share: float, positions: int) -> float:
    """Guess FLOPs from the bytes of a loaded model, of which a network has a share.

    Convolutional networks that halve their maps and double their widths use a weight at about a
    tenth of the positions (Stable Diffusion 1 and its first stage: 0.11 and 0.10).
    """
    weights = stage.local.bytes * share / 4
    return 0.1 * 2 * float(weights) * positions


def _sample(
    stage: Stage, params: Sampling, stages: Mapping[str, Stage], side: int, f: int
) -> float:
    """Return the FLOPs of one sample: every evaluation and the decoding."""
    sampler = SAMPLERS.get(params.sampler)
    evaluations = params.steps * (sampler.evaluations if sampler else 1.0)
    if sampler and sampler.adaptive:
        evaluations = float(sampler.adaptive)
    evaluations *= 1 if params.guidance == 1 else 2
    once = _denoiser_of(stage, stages, side // f, f)
    return float(evaluations * once + _encoder_of(stage, stages, side)[1]) * _area(params)


def _area(params: Sampling) -> int:
    """Return how many times as many pixels samples have as images of training."""
    return math.prod(factors_of(params.size))
