"""Conditions of models that are trained here: what a task adds to the denoiser.

Their encoders are trained jointly with the denoiser (arXiv:2112.10752, section 3.3: tau_theta) and
share no weights with the evaluators. To add one: a row in `_BUILDERS`, and in catalog/tasks.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from diffusers import ModelMixin
from diffusers.configuration_utils import ConfigMixin, register_to_config
from torch import Tensor, nn

from ldmbench.catalog.tasks import MAP_CHANNELS
from ldmbench.errors import InputError
from ldmbench.models.compvis.networks import ClassEmbedder, SpatialRescaler
from ldmbench.models.conditions import (
    Captions,
    ClassLabels,
    ClassTokens,
    Condition,
    NoCondition,
    Prompts,
    TokenBoxes,
)
from ldmbench.models.diffusers.parts import frozen_text
from ldmbench.models.frozen_text import frozen_prompts
from ldmbench.models.hashed_words import LENGTH, TOKENS
from ldmbench.models.image_conditions import (
    AlignedImage,
    EncodedImage,
    FittedImage,
    MaskedImage,
    SemanticMap,
)
from ldmbench.models.tokenizer_files import vocabulary_tokenizer
from ldmbench.schema.models import DenoiserParams
from ldmbench.sources.models.text_encoders import TextEncoder, text_encoder

__all__ = ["NOTHING", "Brought", "CaptionEncoder", "build_condition"]


class CaptionEncoder(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """A small transformer: token ids (N, LENGTH) -> float32 (N, LENGTH, channels).

    Padding is a token like any other, so that a caption's sequence does not depend on its
    neighbours in the batch.

    Args:
        channels: width of the sequence.
        depth: blocks of self-attention.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, channels: int = 64, depth: int = 2) -> None:
        super().__init__()
        self.words = nn.Embedding(TOKENS, channels)
        self.places = nn.Parameter(torch.zeros(LENGTH, channels))
        self.blocks = nn.ModuleList(_Block(channels) for _ in range(depth))
        self.norm = nn.LayerNorm(channels)

    def forward(self, ids: Tensor) -> Tensor:
        """Encode ids, int64 (N, L), L at most LENGTH, as `tokenize` returns them."""
        x = self.words(ids) + self.places[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.norm(x)
        return out


@dataclass(frozen=True)
class Brought:
    """What data and first stage bring to a condition that is trained here.

    Attributes:
        classes: of labels, boxes and maps; background is none of them.
        objects: most boxes of an image.
        f: downsampling factor of the first stage.
        encode: images NCHW in [-1, 1] -> latents, not scaled.
        text: the path of the vocabulary or text encoder, where it lies on disk.
    """

    classes: int = 0
    objects: int = 0
    f: int = 1
    encode: Callable[[Tensor], Tensor] = lambda x: x
    text: str | None = None


NOTHING = Brought()
"""Of a model without condition."""


def build_condition(
    params: DenoiserParams, shape: tuple[int, int, int], brought: Brought
) -> Condition:
    """Return the condition of a model that is trained here, its networks with fresh weights.

    Its classes are those of loaded models, so that what is trained is what `load` reads.

    Args:
        params: of the denoiser.
        shape: (C, h, w) of a latent.
        brought: what data and first stage bring.

    Raises:
        InputError: the data lack classes or boxes, or a small image does not fit the latent.
    """
    return _BUILDERS[params.conditioning](params, shape, brought)


def _class(params: DenoiserParams, shape: tuple[int, int, int], brought: Brought) -> Condition:
    """The last row of the table, or the label behind the classes, is no class."""
    classes = brought.classes
    if params.reads_labels:
        return ClassLabels(classes, null_class=classes)
    return ClassTokens(ClassEmbedder(classes + 1, params.context_channels, null_class=classes))


def _caption(params: DenoiserParams, shape: tuple[int, int, int], brought: Brought) -> Condition:
    """Hashed words, or the tokens of a vocabulary through LDM's transformer, as LDM-KL-8 has it."""
    if params.text_encoder:
        return _frozen(params, text_encoder(brought.text or params.text_encoder, Path()))
    if params.vocabulary is None:
        return Captions(CaptionEncoder(params.context_channels))
    place, length = brought.text or params.vocabulary, params.caption_tokens
    tokens = len(vocabulary_tokenizer(place))
    return Prompts(
        transformer(params, tokens=tokens, length=length),
        lambda: vocabulary_tokenizer(place),
        length=length,
    )


def _frozen(params: DenoiserParams, found: TextEncoder) -> Condition:
    """A text encoder that is not trained."""
    encoder = _encoder_at(found.place, found.kind)
    return frozen_prompts(found, encoder, found.tokens(params.caption_tokens))


@cache
def _encoder_at(place: Path, kind: str) -> Any:
    """Return a frozen encoder, one for all that are built: it never changes."""
    return frozen_text(place, kind)


def _layout(params: DenoiserParams, shape: tuple[int, int, int], brought: Brought) -> Condition:
    """Three tokens a box and two of the crop; as many places as tokens, at least 32 x 32."""
    if brought.objects < 1:
        raise InputError("conditioning 'layout' needs a dataset with boxes, this one has none")
    side = max(32, math.isqrt(brought.classes) + 1)
    made = transformer(params, tokens=side * side, length=3 * brought.objects + 2)
    if params.corners == "sines":
        with torch.no_grad():
            made.model.embed_tokens.weight.copy_(_sines(side, params.context_channels))
    return TokenBoxes(made)


def _sines(side: int, channels: int) -> Tensor:
    """Return vectors of the places of a grid, (side^2, channels), of variance 1.

    They are sines and cosines of row and column, of periods from 2 to 2 x side places
    (arXiv:1706.03762, section 3.5, for two coordinates); channels that are left over are 0.
    """
    place = torch.arange(side * side)
    at = torch.stack([place // side, place % side], dim=1)
    rates = math.pi / torch.logspace(0, 1, channels // 4, base=side)
    angles = (at[:, :, None] * rates).flatten(1)
    waves = 2**0.5 * torch.cat([angles.sin(), angles.cos()], dim=1)
    return nn.functional.pad(waves, (0, channels - waves.shape[1]))


def _semantic(params: DenoiserParams, shape: tuple[int, int, int], brought: Brought) -> Condition:
    if brought.classes < 1:
        raise InputError("conditioning 'semantic' needs a dataset with classes, this one has none")
    rescaler: SpatialRescaler = SpatialRescaler(
        n_stages=brought.f.bit_length() - 1,
        in_channels=brought.classes + 1,
        out_channels=MAP_CHANNELS,
    )
    return SemanticMap(rescaler)


def _small(params: DenoiserParams, shape: tuple[int, int, int], brought: Brought) -> Condition:
    side, given = shape[1], {"downscale": params.downscale}
    small = side * brought.f // params.scale
    larger, smaller = max(small, side), min(small, side)
    if small < 1 or larger % smaller:
        raise InputError(
            f"scale {params.scale} makes small images of side {small}, which do not fit latents of"
            f" side {side}; one must be a multiple of the other"
        )
    if small == side:
        return AlignedImage(3, given=given)
    return FittedImage(small, side, given=given)


def _masked(params: DenoiserParams, shape: tuple[int, int, int], brought: Brought) -> Condition:
    return MaskedImage(brought.encode, shape[0] + 1, given={"mask": params.mask})


def _encoded(params: DenoiserParams, shape: tuple[int, int, int], brought: Brought) -> Condition:
    return EncodedImage(brought.encode, shape[0], given={"blur": f"{params.blur:g}"})


_BUILDERS: dict[str, Callable[[DenoiserParams, tuple[int, int, int], Brought], Condition]] = {
    "none": lambda params, shape, brought: NoCondition(),
    "class": _class,
    "caption": _caption,
    "layout": _layout,
    "semantic": _semantic,
    "superresolution": _small,
    "inpainting": _masked,
    "image": _encoded,
}


LDM_HEADS, LDM_HEAD = 8, 64
"""Of LDM's transformer, whatever its width; those narrower than 512 divide their width."""


def transformer(params: DenoiserParams, *, tokens: int, length: int) -> Any:
    """Return LDM's transformer of token ids, as diffusers has it, with fresh weights.

    Args:
        params: of the denoiser.
        tokens: of its vocabulary.
        length: of a sequence.
    """
    from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import (
        LDMBertConfig,
        LDMBertModel,
    )

    width = params.context_channels
    heads = max(1, width // 32) if width % 32 == 0 else 1
    heads, size = min((heads, width // heads), (LDM_HEADS, LDM_HEAD), key=math.prod)
    config = LDMBertConfig(
        vocab_size=tokens,
        max_position_embeddings=length,
        encoder_layers=params.context_depth,
        encoder_ffn_dim=4 * width,
        encoder_attention_heads=heads,
        head_dim=size,
        d_model=width,
        dropout=0.0,
    )
    made: Any = LDMBertModel(config)
    made.to_logits.requires_grad_(False)  # of its own training; nothing reads it here
    return made


class _Block(nn.Module):
    """Pre-norm self-attention and MLP."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = max(1, channels // 32) if channels % 32 == 0 else 1
        self.norm1 = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        self.norm2 = nn.LayerNorm(channels)
        self.up = nn.Linear(channels, 4 * channels)
        self.down = nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        n, length, c = x.shape
        qkv = self.qkv(self.norm1(x)).view(n, length, 3, self.heads, c // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = (
            nn.functional.scaled_dot_product_attention(q, k, v)
            .transpose(1, 2)
            .reshape(n, length, c)
        )
        x = x + self.out(mixed)
        hidden: Tensor = x + self.down(nn.functional.gelu(self.up(self.norm2(x))))
        return hidden
