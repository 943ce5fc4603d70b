"""The networks that are trained here as lists of layers: their weights and what they compute.

Convolutions, attention and the layers beside them; norms and biases are left out, which is less
than a hundredth of either figure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ldmbench.catalog.tasks import joined_channels
from ldmbench.schema.models import CAPTION_TOKENS, AutoencoderParams, DenoiserParams
from ldmbench.schema.networks import (
    HASHED_WORDS,
    LATENT_CHANNELS,
    STAGE_MULTIPLIERS,
    default_multipliers,
)

__all__ = [
    "Layer",
    "decoder",
    "denoiser",
    "discriminator_weights",
    "encoder",
    "flops",
    "weights",
]

VOCABULARY = 49_408
"""Tokens of open_clip's vocabulary; others are taken to have as many."""
LDM_INNER = 512
"""Most values of all heads of a transformer of captions."""
LAYOUT_TOKENS, BOX_TOKENS = 1024, 11
"""Rows of the table of layouts, and tokens of one, as `shapes` has them."""


class Layer(NamedTuple):
    """A layer's weights, the positions that each is used at, and what it multiplies beside them."""

    weights: float
    positions: float
    products: float = 0.0


def flops(layers: Sequence[Layer]) -> float:
    """Return the FLOPs of one pass, 2 per multiply-add."""
    return sum(2 * (layer.weights * layer.positions + layer.products) for layer in layers)


def weights(layers: Sequence[Layer]) -> float:
    """Return the number of weights."""
    return sum(layer.weights for layer in layers)


def latent_channels(params: AutoencoderParams) -> int:
    """Return the channels of a latent of a first stage."""
    return params.latent_channels or LATENT_CHANNELS[params.f]


def encoder(params: AutoencoderParams, side: int) -> list[Layer]:
    """Return the layers that make a latent of an image; none for f = 1."""
    if params.f == 1:
        return []
    widths, blocks, at = _widths(params), params.blocks, float(side)
    double = 2 if params.regularization == "kl" else 1
    found, before = [_conv(3, widths[0], at)], widths[0]
    for level, width in enumerate(widths):
        found += _block(before, width, at)
        for _ in range(blocks - 1):
            found += _block(width, width, at)
        if level < len(widths) - 1:
            at /= 2
            found.append(_conv(width, width, at))
        before = width
    found += _middle(before, at, attention=params.attention)
    channels = double * latent_channels(params)
    return [*found, _conv(before, channels, at), Layer(channels**2, at * at)]


def decoder(params: AutoencoderParams, side: int) -> list[Layer]:
    """Return the layers that make an image of a latent; none for f = 1."""
    if params.f == 1:
        return []
    widths, channels = _widths(params), latent_channels(params)
    at = side / 2 ** (len(widths) - 1)
    found = [Layer(channels**2, at * at), _conv(channels, widths[-1], at)]
    found += _middle(widths[-1], at, attention=params.attention)
    before = widths[-1]
    for level, width in reversed([*enumerate(widths)]):
        found += _block(before, width, at)
        for _ in range(params.blocks):
            found += _block(width, width, at)
        if level:
            at *= 2
            found.append(_conv(width, width, at))
        before = width
    if params.regularization == "vq":
        found.append(Layer(params.codebook * channels, 0.0))
    return [*found, _conv(before, 3, at)]


def discriminator_weights() -> float:
    """Return the weights of the patch discriminator of first-stage training."""
    return 16 * 3 * 32 + 16 * 32 * 64 + 9 * 64 * 128 + 9 * 128


def denoiser(params: DenoiserParams, side: int, channels: int, f: int = 1) -> list[Layer]:
    """Return the layers of a denoiser on latents of a side, its condition's encoder included."""
    joined = joined_channels(
        params.conditioning, channels=channels, side=side, f=f, scale=params.scale
    )
    made = {"unet": _unet, "dit": _dit}[params.network](params, side, channels, joined)
    return [*made, *_condition_layers(params)]


def _dit(params: DenoiserParams, side: int, channels: int, joined: int) -> Iterator[Layer]:
    """Yield a transformer on patches: times, blocks with their modulation, the last layer."""
    width, patch = params.width, (channels + joined) * params.patch**2
    tokens = (side / params.patch) ** 2
    yield Layer(256 * width + width**2, 1)
    yield Layer(patch * width, tokens)
    for _ in range(params.depth):
        yield Layer(12 * width**2, tokens, 2 * tokens**2 * width)
        yield Layer(6 * width**2, 1)
    yield Layer(2 * width**2, 1)
    yield Layer(width * patch, tokens)


def _unet(params: DenoiserParams, side: int, channels: int, joined: int) -> list[Layer]:
    """Return the layers of a UNet."""
    widths = [params.channels * m for m in params.multipliers or default_multipliers(side)]
    attends, blocks, base = params.attends, params.blocks, widths[0]
    context = params.context_channels if attends else 0
    time, shifts = 4 * base, 2 if params.scale_shift else 1
    found = [_conv(channels + joined, base, side), Layer(base * time + time * time, 1)]
    skips, at, before, depth = [base], float(side), base, params.transformer_depth

    def step(inputs: int, width: int) -> Iterator[Layer]:
        yield from _block(inputs, width, at, time=shifts * time)
        if int(at) in params.attention_sizes:
            yield from _attention(width, at, context, depth)

    def resample(width: int) -> Iterator[Layer]:
        if params.resblock_updown:
            yield from _block(width, width, at, time=shifts * time)
        else:
            yield _conv(width, width, at)

    for level, width in enumerate(widths):
        for _ in range(blocks):
            found += step(before, width)
            skips.append(width)
            before = width
        if level < len(widths) - 1:
            at /= 2
            found += resample(width)
            skips.append(width)
    found += [*_block(before, before, at, time=shifts * time)] * 2
    found += _attention(before, at, context, depth)
    for level, width in reversed([*enumerate(widths)]):
        for _ in range(blocks + 1):
            found += step(before + skips.pop(), width)
            before = width
        if level:
            at *= 2
            found += resample(width)
    return [*found, _conv(base, channels, at)]


def _widths(params: AutoencoderParams) -> list[int]:
    return [params.channels * m for m in params.multipliers or STAGE_MULTIPLIERS[params.f]]


def _conv(inputs: int, outputs: int, side: float) -> Layer:
    return Layer(9 * inputs * outputs, side * side)


def _block(inputs: int, outputs: int, side: float, *, time: int = 0) -> Iterator[Layer]:
    """Yield a residual block: two convolutions, the projection of the time, and the skip."""
    yield _conv(inputs, outputs, side)
    yield _conv(outputs, outputs, side)
    if time:
        yield Layer(time * outputs, 1)
    if inputs != outputs:
        yield Layer(inputs * outputs, side * side)


def _middle(width: int, side: float, *, attention: bool) -> Iterator[Layer]:
    for _ in range(2):
        yield from _block(width, width, side)
    if attention:
        yield from _attention(width, side, 0)


def _attention(width: int, side: float, context: int, depth: int = 1) -> Iterator[Layer]:
    """Yield attention of pixels to each other; with a context a transformer: it, and gated layers.

    A transformer has layers at its ends that keep the width.
    """
    positions = side * side
    if not context:
        yield Layer(4 * width**2, positions, 2 * positions**2 * width)
        return
    yield Layer(2 * width**2, positions)
    for _ in range(depth):
        yield Layer(4 * width**2, positions, 2 * positions**2 * width)
        yield Layer(14 * width**2, positions, 2 * positions * CAPTION_TOKENS * width)
        yield Layer(2 * context * width, CAPTION_TOKENS)


def _condition_layers(params: DenoiserParams) -> Iterator[Layer]:
    """Yield the encoder of captions or layouts; a class is one vector, of which there are few."""
    context = params.context_channels
    if params.text_encoder:
        return
    if params.conditioning == "caption" and params.vocabulary:
        yield Layer((2 * VOCABULARY + params.caption_tokens) * context, 0)
        block = (8 * context + 4 * min(context, LDM_INNER)) * context
        yield Layer(params.context_depth * block, params.caption_tokens)
    elif params.conditioning == "caption":
        yield Layer((HASHED_WORDS + CAPTION_TOKENS) * context, 0)
        yield Layer(2 * 12 * context**2, CAPTION_TOKENS)
    if params.conditioning == "layout":
        yield Layer((2 * LAYOUT_TOKENS + BOX_TOKENS) * context, 0)
        yield Layer(params.context_depth * 12 * context**2, BOX_TOKENS)
