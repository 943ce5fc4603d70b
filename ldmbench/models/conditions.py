"""What a model is conditioned on: labels, prompts and layouts become its network's inputs.

To add one: a class of the interface `Condition`, and where diffusers/folder.py builds it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeGuard

import torch
from torch import nn

from ldmbench.errors import InputError
from ldmbench.models.hashed_words import LENGTH, tokenize
from ldmbench.sources.models.null_class import check_null_class

__all__ = [
    "PROMPT_LENGTH",
    "Captions",
    "ClassLabels",
    "ClassTokens",
    "Condition",
    "ContextTensor",
    "Encoded",
    "Inputs",
    "NoCondition",
    "Prompts",
    "TokenBoxes",
    "labels_of",
    "null_class_of",
    "null_labels",
    "with_null_class",
]

Inputs = dict[str, torch.Tensor]
PROMPT_LENGTH = 77
"""Tokens that LDM pads a prompt to where its config says no max_seq_len; its pipeline, always."""


class Condition(Protocol):
    """A task: what a user gives, what the network gets.

    `inputs(cond, z)` returns any of context (B, n, D) for cross-attention, labels (B,) int64, and
    concat (B, c, h, w) that joins the latent z (B, C, h, w). `null(z)` is the source's empty
    condition, of the form that `inputs` takes.
    """

    @property
    def kind(self) -> str:
        """Return the task's name.

        One of none, class, text, layout, image, class-image, semantic, inpainting, upscaling and
        embedding.
        """
        ...

    def inputs(self, cond: object, z: torch.Tensor) -> Inputs:
        """Return the network's inputs for a batch."""
        ...

    def null(self, cond: object, z: torch.Tensor) -> object:
        """Return the condition that stands for none, `cond` being the other half."""
        ...

    def parts(self) -> dict[str, nn.Module]:
        """Return the networks of the condition, by name."""
        ...


@dataclass(frozen=True)
class NoCondition:
    """Unconditional models."""

    kind: str = "none"

    def inputs(self, cond: object, z: torch.Tensor) -> Inputs:
        """Return nothing; a condition given to an unconditional model is an error."""
        if cond is not None:
            raise InputError("the model is unconditional; leave cond out")
        return {}

    def null(self, cond: object, z: torch.Tensor) -> object:
        """Return no condition."""
        raise InputError("the model is unconditional; guidance must be 1")

    def parts(self) -> dict[str, nn.Module]:
        """Return no networks."""
        return {}


@dataclass(frozen=True)
class ClassLabels:
    """Class labels that join the time embedding (ADM, DiT)."""

    classes: int
    null_class: int | None = None
    kind: str = "class"

    def inputs(self, cond: object, z: torch.Tensor) -> Inputs:
        """Return labels (B,) int64."""
        allowed = self.classes + (self.null_class is not None and self.null_class >= self.classes)
        return {"labels": labels_of(cond, z, classes=allowed)}

    def null(self, cond: object, z: torch.Tensor) -> object:
        """Return the null class B times."""
        return null_labels(self.null_class, z)

    def parts(self) -> dict[str, nn.Module]:
        """Return no networks; the table is the denoiser's."""
        return {}


@dataclass(frozen=True)
class ClassTokens:
    """Class labels as one cross-attention token (LDM's ClassEmbedder)."""

    embedder: Any
    kind: str = "class"

    def inputs(self, cond: object, z: torch.Tensor) -> Inputs:
        """Return context (B, 1, D)."""
        labels = labels_of(cond, z, classes=self.embedder.config.n_classes)
        return {"context": self.embedder(labels)}

    def null(self, cond: object, z: torch.Tensor) -> object:
        """Return the null class B times."""
        return null_labels(self.embedder.config.null_class, z)

    def parts(self) -> dict[str, nn.Module]:
        """Return the table."""
        return {"class_embedder": self.embedder}


@dataclass(frozen=True)
class Encoded:
    """Prompts that the model's text encoder has read already.

    Attributes:
        contexts: of the prompts, (B, L, D) float32.
        null: of the empty prompt, (L, D).
    """

    contexts: torch.Tensor
    null: torch.Tensor


@dataclass(frozen=True)
class Prompts:
    """Prompts, or their token ids, through a text encoder.

    Attributes:
        encoder: transformer; called with ids (B, length), its first output is the context.
        tokenizer: returns the tokenizer, or says what is missing.
        length: number of tokens a prompt is padded or cut to.
        pad: token that it is padded with; None is the tokenizer's own.
    """

    encoder: Any
    tokenizer: Callable[[], Any]
    length: int
    kind: str = "text"
    name: str = "bert"
    pad: int | None = None

    def inputs(self, cond: object, z: torch.Tensor) -> Inputs:
        """Return context (B, length, D); cond: B prompts, ids (B, n), or contexts themselves."""
        if isinstance(cond, Encoded):
            return ContextTensor().inputs(cond.contexts, z)
        given = torch.as_tensor(cond) if hasattr(cond, "shape") or _numbers(cond) else None
        if given is not None and given.is_floating_point():
            return ContextTensor().inputs(given, z)
        ids = self.tokens(cond) if given is None else given
        _check_batch(ids, z, "prompts")
        return {"context": self.read(ids.to(z.device)).to(z.dtype)}

    def read(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the context of token ids (B, n)."""
        context: torch.Tensor = self.encoder(ids, return_dict=True)[0]
        return context

    def tokens(self, prompts: object) -> torch.Tensor:
        """Return ids (B, length) int64 of B texts."""
        if not _is_listed(prompts) or not all(isinstance(p, str) for p in prompts):
            raise InputError("prompts must be a list of texts, one per sample")
        tokenizer = self.tokenizer()
        options: dict[str, object] = {}
        if hasattr(tokenizer, "save_pretrained"):  # transformers' own; others pad by themselves
            options = {"padding": "max_length", "max_length": self.length, "truncation": True}
            if self.pad is not None:  # a word of the texts, which the tokenizer may hold special
                options |= {"padding": False, "split_special_tokens": True}
        found = tokenizer(list(prompts), **options)
        ids = found["input_ids"] if hasattr(found, "keys") else found
        if options and self.pad is not None:
            ids = [[*row, *[self.pad] * (self.length - len(row))] for row in ids]
        return torch.as_tensor(ids)

    def null(self, cond: object, z: torch.Tensor) -> object:
        """Return the empty prompt B times."""
        if isinstance(cond, Encoded):
            return Encoded(cond.null.expand(z.shape[0], -1, -1), cond.null)
        return [""] * z.shape[0]

    def parts(self) -> dict[str, nn.Module]:
        """Return the text encoder."""
        return {self.name: self.encoder}


@dataclass(frozen=True)
class Captions(Prompts):
    """Captions through an encoder that was trained with the denoiser; words are hashed to ids."""

    tokenizer: Callable[[], Any] = lambda: tokenize
    length: int = LENGTH
    name: str = "caption_encoder"

    def read(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the context of token ids (B, n)."""
        context: torch.Tensor = self.encoder(ids)
        return context


@dataclass(frozen=True)
class TokenBoxes:
    """Layouts as token sequences (LDM's coordinates_bbox) through a transformer."""

    encoder: Any
    kind: str = "layout"

    def inputs(self, cond: object, z: torch.Tensor) -> Inputs:
        """Return context (B, n, D); cond: ids (B, n) int64."""
        if cond is None:
            raise InputError("the model is conditioned on layouts; give cond, token ids (B, n)")
        ids = torch.as_tensor(cond)
        if ids.is_floating_point() or ids.ndim != 2:
            raise InputError(f"a layout is token ids (B, n), found {tuple(ids.shape)} {ids.dtype}")
        _check_batch(ids, z, "layouts")
        return {"context": self.encoder(ids.to(z.device).long(), return_dict=True)[0]}

    def null(self, cond: object, z: torch.Tensor) -> object:
        """Return an all-zero layout of the same length."""
        return torch.zeros_like(torch.as_tensor(cond))

    def parts(self) -> dict[str, nn.Module]:
        """Return the transformer."""
        return {"bert": self.encoder}


@dataclass(frozen=True)
class ContextTensor:
    """A cross-attention context that the caller computed."""

    kind: str = "embedding"

    def inputs(self, cond: object, z: torch.Tensor) -> Inputs:
        """Return context (B, n, D), float; (B, D) counts as one token."""
        if cond is None:
            raise InputError("the model is conditioned on a context; give cond, (B, n, D) floats")
        context = torch.as_tensor(cond).to(z)
        context = context[:, None] if context.ndim == 2 else context
        _check_batch(context, z, "contexts")
        return {"context": context}

    def null(self, cond: object, z: torch.Tensor) -> object:
        """Return zeros."""
        return torch.zeros_like(torch.as_tensor(cond))

    def parts(self) -> dict[str, nn.Module]:
        """Return no networks."""
        return {}


def null_class_of(condition: Condition) -> int | None:
    """Return the label that stands for no class, where there is one."""
    if isinstance(condition, ClassLabels):
        return condition.null_class
    if isinstance(condition, ClassTokens):
        found: int | None = condition.embedder.config.null_class
        return found
    return None


def with_null_class(condition: Condition, label: int, *, path: Path) -> Condition:
    """Return the condition with another label for no class.

    Raises:
        InputError: its labels are not classes, or its table has no such row.
    """
    classes = None
    if isinstance(condition, ClassLabels):
        classes = condition.classes
    elif isinstance(condition, ClassTokens):
        classes = int(condition.embedder.config.n_classes)
    known = null_class_of(condition)
    check_null_class(label, kind=condition.kind, classes=classes, known=known, path=path)
    if isinstance(condition, ClassTokens):
        condition.embedder.register_to_config(null_class=label)
        return condition
    assert isinstance(condition, ClassLabels)
    return replace(condition, null_class=label)


def labels_of(cond: object, z: torch.Tensor, *, classes: int) -> torch.Tensor:
    """Return labels (B,) int64 in [0, classes), or say what is wrong with them."""
    if cond is None:
        raise InputError("the model is class-conditional; give cond, one label per sample")
    labels = torch.as_tensor(cond)
    if labels.is_floating_point() or labels.ndim != 1:
        raise InputError(
            f"class labels must be whole numbers (B,), found {tuple(labels.shape)} {labels.dtype}"
        )
    _check_batch(labels, z, "labels")
    if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise InputError(
            f"class labels must lie in [0, {classes}), "
            f"found {int(labels.min())} to {int(labels.max())}"
        )
    return labels.to(z.device).long()


def null_labels(null_class: int | None, z: torch.Tensor) -> torch.Tensor:
    """Return the null class B times, or say that the model has none."""
    if null_class is None:
        raise InputError(
            "the model was trained without a null class, as far as its files say; give uncond or "
            "null_class, or leave guidance at 1"
        )
    return torch.full((z.shape[0],), null_class, dtype=torch.int64)


def _numbers(cond: object) -> bool:
    """Say whether a condition is token ids in lists."""
    return _is_listed(cond) and all(
        isinstance(row, list | tuple) and all(isinstance(i, int) for i in row) for row in cond
    )


def _is_listed(cond: object) -> TypeGuard[Sequence[object]]:
    """Say whether a condition is several values in a list or tuple."""
    return isinstance(cond, Sequence) and not isinstance(cond, str) and len(cond) > 0


def _check_batch(given: torch.Tensor, z: torch.Tensor, what: str) -> None:
    if given.shape[0] != z.shape[0]:
        raise InputError(f"{z.shape[0]} samples need as many {what}, found {given.shape[0]}")
