"""CLIP through open_clip: the embedded shapes-clip, and released models from local files."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import open_clip
import torch

from ldmbench.catalog.extractors import ExtractorSpec
from ldmbench.features.checkpoint import assign, fill, read_tensors
from ldmbench.features.extractor import DTYPES, Extractor, Use, normaliser
from ldmbench.features.tokenizer import FileTokenizer, WordTokenizer
from ldmbench.schema.weights import SHIPPED
from ldmbench.sources.evaluators import weights_path

__all__ = [
    "UNUSED",
    "ClipExtractor",
    "clip_pixels",
    "load_clip",
    "load_shapes_clip",
    "network",
    "shapes_clip",
]

UNUSED = ("input_resolution", "context_length", "vocab_size")
"""Numbers that OpenAI's own files hold beside the weights."""

# Captions are short and attention is causal: only so many tokens are computed, the same bucket for
# a caption whoever comes with it.
LENGTHS = (16, 24, 32, 48)


class ClipExtractor(Extractor):
    """An open_clip model: "features" are embeddings before normalisation."""

    def __init__(
        self,
        spec: ExtractorSpec,
        network: Any,
        use: Use,
        *,
        scale: Callable[[torch.Tensor], torch.Tensor],
        tokenizer: Callable[[Sequence[str]], torch.Tensor],
    ) -> None:
        super().__init__(spec, network, use)
        self._scale = scale
        self._tokenizer = tokenizer

    def _forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self._scale(self._resized(images))
        return {"features": self.network.encode_image(x.to(DTYPES[self.precision]))}

    def _tokens(self, captions: Sequence[str]) -> torch.Tensor:
        return self._tokenizer(list(captions))

    def _lengths(self, tokens: torch.Tensor) -> npt.NDArray[np.int64]:
        """Return the shortest of LENGTHS that holds a caption; what follows its end is unseen."""
        whole = tokens.shape[1]
        if whole <= LENGTHS[-1] or not _causal(self.network):
            return super()._lengths(tokens)
        ends = tokens.argmax(dim=1).numpy() + 1
        return np.array([*LENGTHS, whole])[np.searchsorted(LENGTHS, ends)]

    def _forward_text(self, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
        net, length = self.network, tokens.shape[1]
        if length == getattr(net, "context_length", length):
            return {"features": net.encode_text(tokens)}
        embedded = net.token_embedding(tokens) + net.positional_embedding[:length]
        mask = net.attn_mask[:length, :length]
        hidden = net.ln_final(net.transformer(embedded, attn_mask=mask))
        last = hidden[torch.arange(len(tokens), device=tokens.device), tokens.argmax(dim=1)]
        return {"features": last @ net.text_projection}


def _causal(network: Any) -> bool:
    """Say whether a text tower looks back only and reads the end of a caption."""
    mask = getattr(network, "attn_mask", None)
    if getattr(network, "text_pool_type", None) != "argmax" or mask is None:
        return False
    plain = isinstance(network.text_projection, torch.Tensor)
    ahead = torch.ones_like(mask, dtype=torch.bool).triu(1)
    return plain and bool((mask.isinf() == ahead).all())


def shapes_clip() -> Any:
    """Return an untrained open_clip model of shapes-clip's configuration."""
    config = json.loads((SHIPPED / "shapes-clip.json").read_text(encoding="utf-8"))
    return open_clip.CLIP(**config)


def clip_pixels(x: torch.Tensor) -> torch.Tensor:
    """Scale float NCHW in [0, 255] as shapes-clip expects it: to [-2, 2]."""
    return (x - 127.5) / 63.75


def load_shapes_clip(spec: ExtractorSpec, path: Path, use: Use) -> ClipExtractor:
    """Load shapes-clip from safetensors, with its own word tokenizer."""
    network = shapes_clip()
    fill(network, read_tensors(path), path)
    network.visual.to(memory_format=torch.channels_last)
    return ClipExtractor(
        spec, use.placed(network), use, scale=clip_pixels, tokenizer=WordTokenizer()
    )


def network(spec: ExtractorSpec) -> Any:
    """Return open_clip's network of a row, with no values, on the device meta."""
    config = dict(open_clip.get_model_config(spec.network) or {}, **dict(spec.options))
    custom, config = config.pop("custom_text", False), {**config, "cast_dtype": None}
    with torch.device("meta"):
        return (open_clip.CustomTextCLIP if custom else open_clip.CLIP)(**config)


def load_clip(spec: ExtractorSpec, path: Path, use: Use) -> ClipExtractor:
    """Load a released model from open_clip's file or OpenAI's; nothing of the file is run.

    OpenAI's vocabulary comes with open_clip; a network with another one has a file of its own.

    Raises:
        InputError: if the file does not hold the weights of this architecture.
    """
    made = network(spec)
    assign(made, {n: t for n, t in read_tensors(path).items() if n not in UNUSED}, path)
    if getattr(made, "attn_mask", None) is not None:  # in no file
        ahead = torch.full(made.attn_mask.shape, -torch.inf).triu(1)
        made.register_buffer("attn_mask", ahead, persistent=False)
    scale = normaliser(spec.colours, use.device)
    return ClipExtractor(spec, use.placed(made), use, scale=scale, tokenizer=_tokenizer(spec))


def _tokenizer(spec: ExtractorSpec) -> Callable[[Sequence[str]], torch.Tensor]:
    if spec.tokenizer:
        return FileTokenizer(weights_path(spec.tokenizer))
    return open_clip.get_tokenizer(spec.network)  # type: ignore[no-any-return]
