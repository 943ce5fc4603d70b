"""A text encoder that is not trained: what it makes of captions, encoded once where that fits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor

from ldmbench.models.conditions import Condition, Prompts

__all__ = ["KEPT_BYTES", "FrozenText", "width_of"]

KEPT_BYTES = 1 << 30
"""Contexts of all captions of a training are kept in memory up to this size, as float32."""
AT_ONCE = 64


class FrozenText:
    """Contexts of captions, (L, D) each.

    Attributes:
        prompts: tokenizer and encoder.
        known: caption -> its context, float32 on the CPU; empty where each batch is encoded anew.
    """

    def __init__(self, prompts: Prompts) -> None:
        self.prompts = prompts
        self.known: dict[str, Tensor] = {}
        self._null: Tensor | None = None

    def to(self, device: torch.device) -> Self:
        """Move the encoder."""
        self.prompts.encoder.to(device)
        return self

    def remember(self, captions: Sequence[str]) -> None:
        """Encode each caption once, if all contexts together take KEPT_BYTES or less."""
        texts = list(dict.fromkeys(captions))
        size = 4 * self.prompts.length * width_of(self.prompts)
        if len(texts) * size > KEPT_BYTES:
            return
        for start in range(0, len(texts), AT_ONCE):
            part = texts[start : start + AT_ONCE]
            self.known |= zip(part, self.read(self.prompts.tokens(part)).cpu(), strict=True)

    def prepared(self, captions: Sequence[str]) -> Tensor:
        """Return contexts (N, L, D) float32 where they are known, else ids (N, L); on the CPU."""
        if all(text in self.known for text in captions):
            return torch.stack([self.known[text] for text in captions])
        return self.prompts.tokens(captions)

    @torch.no_grad()
    def read(self, ids: Tensor) -> Tensor:
        """Return contexts (N, L, D) of ids (N, L)."""
        device = next(self.prompts.encoder.parameters()).device
        return self.prompts.read(ids.to(device))

    def context(self, cond: Tensor, dropped: Tensor | None, z: Tensor) -> Tensor:
        """Return contexts like z, those of dropped images being of the empty caption."""
        found = cond if cond.is_floating_point() else self.read(cond)
        if dropped is not None:
            if self._null is None:
                self._null = self.read(self.prompts.tokens([""])).to(z.device)
            found = torch.where(dropped[:, None, None], self._null, found)
        return found.to(z.dtype)


def width_of(condition: Condition) -> int:
    """Return the width of the contexts of prompts."""
    config: Any = getattr(condition, "encoder").config  # noqa: B009  Prompts have one
    return int(getattr(config, "d_model", None) or config.hidden_size)
