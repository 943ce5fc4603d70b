"""What a plan will cost, before anything runs: FLOPs by formula, seconds by this store's history.

FLOPs are counted for 3 x 3 convolutions and attention alone (2 per multiply-add), which is nearly
everything in these networks; the figures are for planning, those of a run are measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ldmbench.schema.models import AutoencoderParams
from ldmbench.schema.stage import Manifest, Stage

RATES = {"cpu": 40e9, "cuda": 12e12}
"""FLOP/s in these small networks where the store has no history yet."""
EXTRACTOR_FLOPS = {"shapes-net": 6e7, "shapes-clip": 6e7, "inception-v3-compat": 1.15e10}
EVALUATIONS = {"heun": 2.0}
SECONDS = {"scores": 1.0, "speed": 8.0, "dataset": 0.3, "coding": 0.0, "loading": 2.0}
"""Of stages that are not made of a network's FLOPs: per stage or shard."""
MULTIPLIERS = {
    2: (1, 2),
    4: (1, 2, 2),
    8: (1, 1, 2, 2),
    16: (1, 1, 2, 2, 4),
    32: (1, 1, 2, 2, 4, 4),
}


@dataclass(frozen=True)
class Cost:
    """FLOPs of a network's work, seconds of other work, and bytes on disk."""

    flops: float = 0.0
    seconds: float = 0.0
    bytes: float = 0.0

    def times(self, share: float) -> Cost:
        """Return a share of this cost."""
        return Cost(self.flops * share, self.seconds * share, self.bytes * share)


def stage_cost(stage: Stage, stages: Mapping[str, Stage]) -> Cost:
    """Return what a whole stage (all its shards) costs."""
    count = stage.count or 1
    side, f = _resolution(stage, stages), _factor(stage, stages)
    pixels = float(side * side)
    match stage.kind:
        case "dataset":
            shards = math.ceil(count / (stage.shard or count))
            size = 0.0 if stage.params["split"] == "prompts" else 4 * pixels
            return Cost(seconds=SECONDS["dataset"] * shards, bytes=count * size)
        case "autoencoder" if "budget" not in stage.params:
            return Cost(seconds=SECONDS["loading"] if "loaded" in stage.params else 0.0)
        case "autoencoder":
            return _training(stage.params, 2.5 * sum(_autoencoder(stage.params, side)))
        case "denoiser" if "channels" not in stage.params:
            return Cost(seconds=SECONDS["loading"])
        case "denoiser":
            return _training(stage.params, _denoiser(stage.params, side // f))
        case "latents":
            return Cost(flops=count * _encoder_of(stage, stages, side)[0], bytes=count * pixels)
        case "reconstructions":
            flops = 2 * sum(_encoder_of(stage, stages, side))
            return Cost(flops=count * flops, bytes=count * 3 * pixels)
        case "samples":
            return Cost(flops=count * _sample(stage, stages, side, f), bytes=count * 3 * pixels)
        case "features":
            flops = EXTRACTOR_FLOPS.get(stage.params["extractor"], 1.15e10)
            return Cost(flops=count * flops, bytes=count * 4 * 2048.0)
        case "speed":
            images = stage.params["batch"] * (stage.params["repeats"] + 2)
            return Cost(flops=images * _sample(stage, stages, side, f), seconds=2.0)
        case "coding":
            return Cost(flops=64 * 21 * _denoiser_of(stage, stages, side // f))
    return Cost(seconds=SECONDS.get(stage.kind, 1.0))


def rough_seconds(stage: Stage, stages: Mapping[str, Stage]) -> float:
    """Return the seconds of a whole stage on some processor, to weigh stages against each other."""
    cost = stage_cost(stage, stages)
    return cost.seconds + cost.flops / RATES["cpu"]


def flops_per_second(
    history: Iterable[Manifest], stages: Mapping[str, Stage], device: str
) -> float:
    """Return this machine's speed: that of stages it has run, else a rule of thumb."""
    done = [
        (stage_cost(stages[m.key], stages).flops, m.seconds) for m in history if m.key in stages
    ]
    flops, seconds = sum(f for f, _ in done), sum(s for _, s in done)
    return flops / seconds if seconds > 1 and flops else RATES[device]


def _params(stage: Stage, role: str, stages: Mapping[str, Stage]) -> Mapping[str, Any]:
    return stages[stage.inputs[role].key].params


def _resolution(stage: Stage, stages: Mapping[str, Stage]) -> int:
    """Return the side of the images a stage is about."""
    while True:
        if "resolution" in stage.params:
            return int(stage.params["resolution"])
        if "source" in stage.params:
            return int(stage.params["source"]["resolution"])
        inputs = list(stage.inputs.values())
        if not inputs:
            return 0
        stage = stages[inputs[0].key]


def _factor(stage: Stage, stages: Mapping[str, Stage]) -> int:
    item = stage.inputs.get("autoencoder")
    return int(stages[item.key].params["f"]) if item else int(stage.params.get("f") or 1)


def _training(params: Mapping[str, Any], forward: float) -> Cost:
    budget = params.get("budget")
    if not budget:
        return Cost()
    if budget["flops"]:
        return Cost(flops=budget["flops"], bytes=2e7)
    if budget["device_minutes"]:
        return Cost(seconds=60 * budget["device_minutes"], bytes=2e7)
    images = budget["images"] or budget["steps"] * params["batch"]
    return Cost(flops=3 * forward * images, bytes=2e7)


def _conv(inputs: int, outputs: int, side: float) -> float:
    return 2 * 9 * inputs * outputs * side * side


def _block(inputs: int, outputs: int, side: float) -> float:
    return _conv(inputs, outputs, side) + _conv(outputs, outputs, side)


def _autoencoder(params: Mapping[str, Any], side: int) -> tuple[float, float]:
    """Return the FLOPs of encoding and of decoding one image."""
    f = int(params["f"])
    if f == 1:
        return 0.0, 0.0
    widths = [params["channels"] * m for m in params["multipliers"] or MULTIPLIERS[f]]
    encoder, decoder = _conv(3, widths[0], side), _conv(widths[0], 3, side)
    at, before = float(side), widths[0]
    for level, width in enumerate(widths):
        last = level == len(widths) - 1
        blocks = params["blocks"]
        encoder += _block(before, width, at) + (blocks - 1) * _block(width, width, at)
        above = widths[min(level + 1, len(widths) - 1)]
        decoder += _block(above, width, at) + blocks * _block(width, width, at)
        if last:
            encoder += 2 * _block(width, width, at)
            decoder += 2 * _block(width, width, at)
        else:
            encoder += _conv(width, width, at / 2)
            decoder += _conv(above, above, at)
            at /= 2
        before = width
    return encoder, decoder


def _denoiser(params: Mapping[str, Any], side: int) -> float:
    """Return the FLOPs of one evaluation of the UNet on one image."""
    widths = [params["channels"] * m for m in params["multipliers"] or _levels(side)]
    total, at, before, blocks = 0.0, float(side), widths[0], params["blocks"]
    for level, width in enumerate(widths):
        last = level == len(widths) - 1
        total += _block(before, width, at) + (blocks - 1) * _block(width, width, at)
        above = widths[min(level + 1, len(widths) - 1)]
        total += _block(above + width, width, at) + (blocks - 1) * _block(2 * width, width, at)
        total += _block(width + before, width, at)
        if int(at) in params["attention_sizes"]:
            total += (2 * blocks + 1) * 2 * at * at * (16 * width * width + 2 * at * at * width)
        if last:
            total += 2 * _block(width, width, at)
        else:
            total += _conv(width, width, at / 2) + _conv(above, above, at)
            at /= 2
        before = width
    return total


def _levels(side: int) -> tuple[int, ...]:
    """Return the default widths per level, as the denoiser chooses them."""
    levels, at = 1, side
    while at % 2 == 0 and at > 4:
        at //= 2
        levels += 1
    if levels == 1 and at == 4:
        return (2, 4)
    return ((1,) * 8 + (1, 2, 2, 4))[-levels:] if levels > 3 else (1, 2, 4)[-levels:]


def _encoder_of(stage: Stage, stages: Mapping[str, Stage], side: int) -> tuple[float, float]:
    params = _params(stage, "autoencoder", stages)
    if "loaded" in params:
        flops = 0.0 if params["f"] == 1 else _of_size(stage, share=0.2, positions=side * side)
        return flops, flops
    if "weights" in params:  # shipped: of the default widths
        params = AutoencoderParams(f=params["f"]).model_dump()
    return _autoencoder(params, side)


def _denoiser_of(stage: Stage, stages: Mapping[str, Stage], side: int) -> float:
    params = _params(stage, "denoiser", stages)
    if "channels" in params:
        return _denoiser(params, side)
    return _of_size(stage, share=0.8, positions=side * side)


def _of_size(stage: Stage, *, share: float, positions: int) -> float:
    """Guess FLOPs from the bytes of a loaded model, of which a network has a share.

    Convolutional networks that halve their maps and double their widths use a weight at about a
    tenth of the positions (Stable Diffusion 1 and its first stage: 0.11 and 0.10).
    """
    weights = stage.local.get("bytes", 0) * share / 4
    return 0.1 * 2 * float(weights) * positions


def _sample(stage: Stage, stages: Mapping[str, Stage], side: int, f: int) -> float:
    """Return the FLOPs of one sample: every evaluation and the decoding."""
    params = stage.params
    evaluations = params["steps"] * (1 if params["guidance"] == 1 else 2)
    evaluations *= EVALUATIONS.get(params["sampler"], 1.0)
    once = _denoiser_of(stage, stages, side // f)
    return float(evaluations * once + _encoder_of(stage, stages, side)[1])
