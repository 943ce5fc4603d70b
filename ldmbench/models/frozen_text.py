"""A text encoder that is not trained: what it makes of captions, under a denoiser or into a store.

It computes in float32, whatever the precision of the training above it, and reads captions AT_ONCE
at a time, so that contexts from the store and those of a batch that is encoded in training differ
by rounding at most.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor

from ldmbench.models.conditions import Condition, Prompts
from ldmbench.models.diffusers.parts import frozen_text
from ldmbench.models.tokenizer_files import encoder_tokenizer
from ldmbench.sources.models.text_encoders import AT_ONCE, TextEncoder

__all__ = ["FrozenText", "frozen_at", "frozen_prompts", "width_of"]


class FrozenText:
    """Contexts of captions, (L, D) each.

    Attributes:
        prompts: tokenizer and encoder.
        null: the context of the empty caption, float32 (L, D); `begin` sets it.
    """

    def __init__(self, prompts: Prompts) -> None:
        self.prompts = prompts
        self.null: Tensor | None = None

    def to(self, device: str | torch.device) -> Self:
        """Move the encoder."""
        self.prompts.encoder.to(device)
        return self

    def begin(self, device: torch.device, null: Tensor | None = None) -> None:
        """Get ready to train on a device.

        Args:
            device: of the training.
            null: the context of the empty caption, where no caption is read by the encoder any
                more; None: it reads all of them, so it moves to the device.
        """
        if null is None:
            null = self.to(device).read(self.prompts.tokens([""]))[0]
        self.null = null.to(device)

    @torch.no_grad()
    def read(self, ids: Tensor) -> Tensor:
        """Return contexts (N, L, D) float32 of ids (N, L), on the encoder's device."""
        device = next(self.prompts.encoder.parameters()).device
        made = []
        with torch.autocast(device.type, enabled=False):
            for start in range(0, len(ids), AT_ONCE):
                part = ids[start : start + AT_ONCE].to(device)
                filled = torch.cat([part, part[-1:].expand(AT_ONCE - len(part), -1)])
                made.append(self.prompts.read(filled)[: len(part)])
        return torch.cat(made)

    def context(self, cond: Tensor, dropped: Tensor | None, z: Tensor) -> Tensor:
        """Return contexts like z, those of dropped images being of the empty caption.

        Args:
            cond: contexts (N, L, D), or ids (N, L), which are read first.
            dropped: bool (N,), or None.
            z: latents.
        """
        found = cond if cond.is_floating_point() else self.read(cond)
        if dropped is not None:
            if self.null is None:
                self.begin(z.device)
            assert self.null is not None
            found = torch.where(dropped[:, None, None], self.null, found)
        return found.to(z.dtype)


def frozen_prompts(found: TextEncoder, encoder: Any, tokens: int) -> Prompts:
    """Return the prompts of a frozen text encoder; padding is read like words, as SD has it.

    Args:
        found: what its files say.
        encoder: of `frozen_text`.
        tokens: that a caption is padded or cut to.
    """
    return Prompts(
        encoder,
        lambda: encoder_tokenizer(found.tokenizer),
        length=tokens,
        name="text_encoder",
    )


def frozen_at(found: TextEncoder, *, tokens: int, device: str) -> FrozenText:
    """Return a text encoder from disk, on a device."""
    prompts = frozen_prompts(found, frozen_text(found.place, found.kind), tokens)
    return FrozenText(prompts).to(device)


def width_of(condition: Condition) -> int:
    """Return the width of the contexts of prompts."""
    config: Any = getattr(condition, "encoder").config  # noqa: B009  Prompts have one
    return int(getattr(config, "d_model", None) or config.hidden_size)
