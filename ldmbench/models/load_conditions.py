"""What a loaded model is told: labels, prompts and images become its network's inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from ldmbench.errors import InputError

__all__ = [
    "AlignedImage",
    "ClassLabels",
    "ClassTokens",
    "Condition",
    "ContextTensor",
    "Inputs",
    "MaskedImage",
    "MaskedPrompt",
    "NoCondition",
    "Prompts",
    "SemanticMap",
    "TokenBoxes",
    "UpscaledPrompt",
    "null_class_of",
]

Inputs = dict[str, torch.Tensor]


class Condition(Protocol):
    """A task: what a user gives, what the network gets.

    `inputs(cond, z)` returns any of context (B, n, D) for cross-attention, labels (B,) int64, and
    concat (B, c, h, w) that joins the latent z (B, C, h, w). `null(z)` is the source's empty
    condition, of the form that `inputs` takes.
    """

    @property
    def kind(self) -> str:
        """Return none, class, text, layout, image, semantic, inpainting, upscaling, embedding."""
        ...

    def inputs(self, cond: Any, z: torch.Tensor) -> Inputs:
        """Return the network's inputs for a batch."""
        ...

    def null(self, cond: Any, z: torch.Tensor) -> Any:
        """Return the condition that stands for none, `cond` being the other half."""
        ...

    def parts(self) -> dict[str, nn.Module]:
        """Return the networks of the condition, by name."""
        ...


@dataclass(frozen=True)
class NoCondition:
    """Unconditional models."""

    kind: str = "none"

    def inputs(self, cond: Any, z: torch.Tensor) -> Inputs:
        """Return nothing; a condition given to an unconditional model is an error."""
        if cond is not None:
            raise InputError("the model is unconditional; leave cond out")
        return {}

    def null(self, cond: Any, z: torch.Tensor) -> Any:
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

    def inputs(self, cond: Any, z: torch.Tensor) -> Inputs:
        """Return labels (B,) int64."""
        allowed = self.classes + (self.null_class is not None and self.null_class >= self.classes)
        return {"labels": labels_of(cond, z, classes=allowed)}

    def null(self, cond: Any, z: torch.Tensor) -> Any:
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

    def inputs(self, cond: Any, z: torch.Tensor) -> Inputs:
        """Return context (B, 1, D)."""
        labels = labels_of(cond, z, classes=self.embedder.config.n_classes)
        return {"context": self.embedder(labels)}

    def null(self, cond: Any, z: torch.Tensor) -> Any:
        """Return the null class B times."""
        return null_labels(self.embedder.config.null_class, z)

    def parts(self) -> dict[str, nn.Module]:
        """Return the table."""
        return {"class_embedder": self.embedder}


@dataclass(frozen=True)
class Prompts:
    """Prompts, or their token ids, through a text encoder.

    Attributes:
        encoder: transformer; called with ids (B, length), its first output is the context.
        tokenizer: returns the tokenizer, or says what is missing.
        length: number of tokens a prompt is padded or cut to.
    """

    encoder: Any
    tokenizer: Callable[[], Any]
    length: int
    kind: str = "text"
    name: str = "bert"

    def inputs(self, cond: Any, z: torch.Tensor) -> Inputs:
        """Return context (B, length, D); cond: B prompts, ids (B, n), or a context itself."""
        if isinstance(cond, torch.Tensor) and cond.is_floating_point():
            return ContextTensor().inputs(cond, z)
        ids = cond if isinstance(cond, torch.Tensor) else self.tokens(cond)
        _check_batch(ids, z, "prompts")
        return {"context": self.encoder(ids.to(z.device), return_dict=True)[0].to(z.dtype)}

    def tokens(self, prompts: Sequence[str]) -> torch.Tensor:
        """Return ids (B, length) int64."""
        if isinstance(prompts, str) or not all(isinstance(p, str) for p in prompts):
            raise InputError("prompts must be a list of texts, one per sample")
        tokenizer = self.tokenizer()
        told: dict[str, Any] = {}
        if hasattr(tokenizer, "save_pretrained"):  # transformers' own; others pad by themselves
            told = {"padding": "max_length", "max_length": self.length, "truncation": True}
        found = tokenizer(list(prompts), **told)
        return torch.as_tensor(found["input_ids"] if hasattr(found, "keys") else found)

    def null(self, cond: Any, z: torch.Tensor) -> Any:
        """Return the empty prompt B times."""
        return [""] * z.shape[0]

    def parts(self) -> dict[str, nn.Module]:
        """Return the text encoder."""
        return {self.name: self.encoder}


@dataclass(frozen=True)
class TokenBoxes:
    """Layouts as token sequences (LDM's coordinates_bbox) through a transformer."""

    encoder: Any
    kind: str = "layout"

    def inputs(self, cond: Any, z: torch.Tensor) -> Inputs:
        """Return context (B, n, D); cond: ids (B, n) int64."""
        ids = torch.as_tensor(cond)
        if ids.is_floating_point() or ids.ndim != 2:
            raise InputError(f"a layout is token ids (B, n), found {tuple(ids.shape)} {ids.dtype}")
        _check_batch(ids, z, "layouts")
        return {"context": self.encoder(ids.to(z.device).long(), return_dict=True)[0]}

    def null(self, cond: Any, z: torch.Tensor) -> Any:
        """Return an all-zero layout of the same length."""
        return torch.zeros_like(torch.as_tensor(cond))

    def parts(self) -> dict[str, nn.Module]:
        """Return the transformer."""
        return {"bert": self.encoder}


@dataclass(frozen=True)
class ContextTensor:
    """A cross-attention context that the caller computed."""

    kind: str = "embedding"

    def inputs(self, cond: Any, z: torch.Tensor) -> Inputs:
        """Return context (B, n, D), float; (B, D) counts as one token."""
        context = torch.as_tensor(cond).to(z)
        context = context[:, None] if context.ndim == 2 else context
        _check_batch(context, z, "contexts")
        return {"context": context}

    def null(self, cond: Any, z: torch.Tensor) -> Any:
        """Return zeros."""
        return torch.zeros_like(torch.as_tensor(cond))

    def parts(self) -> dict[str, nn.Module]:
        """Return no networks."""
        return {}


@dataclass(frozen=True)
class AlignedImage:
    """An image of the latent's height and width that joins it (super-resolution)."""

    channels: int
    kind: str = "image"

    def inputs(self, cond: Any, z: torch.Tensor) -> Inputs:
        """Return concat (B, channels, h, w); cond: the same, in [-1, 1]."""
        wanted = (z.shape[0], self.channels, *z.shape[2:])
        return {"concat": _shaped(cond, z, wanted, "the low-resolution image")}

    def null(self, cond: Any, z: torch.Tensor) -> Any:
        """Return zeros."""
        return torch.zeros_like(cond)

    def parts(self) -> dict[str, nn.Module]:
        """Return no networks."""
        return {}


@dataclass(frozen=True)
class SemanticMap:
    """A one-hot class map at image size, rescaled to the latent's size and joined to it."""

    rescaler: Any
    kind: str = "semantic"

    def inputs(self, cond: Any, z: torch.Tensor) -> Inputs:
        """Return concat (B, c, h, w); cond: one-hot (B, classes, H, W), or ids (B, H, W)."""
        given = torch.as_tensor(cond)
        classes = int(self.rescaler.config.in_channels)
        if given.ndim == 3 and not given.is_floating_point():
            given = nn.functional.one_hot(given.long(), classes).permute(0, 3, 1, 2)
        if given.ndim != 4 or given.shape[1] != classes:
            raise InputError(
                f"the semantic map must be (B, {classes}, H, W) one-hot or (B, H, W) ids, "
                f"found {tuple(given.shape)}"
            )
        found = self.rescaler(given.to(z))
        return {"concat": _shaped(found, z, (z.shape[0], found.shape[1], *z.shape[2:]), "the map")}

    def null(self, cond: Any, z: torch.Tensor) -> Any:
        """Return zeros."""
        return torch.zeros_like(torch.as_tensor(cond))

    def parts(self) -> dict[str, nn.Module]:
        """Return the rescaler."""
        return {"rescaler": self.rescaler}


@dataclass(frozen=True)
class MaskedImage:
    """LDM inpainting: the masked image's latent and the mask, joined to the noisy latent.

    Attributes:
        encode: image (B, 3, H, W) in [-1, 1] -> latent, not scaled, as the original does.
        channels: latent channels and one for the mask.
    """

    encode: Callable[[torch.Tensor], torch.Tensor]
    channels: int
    kind: str = "inpainting"

    def inputs(self, cond: Any, z: torch.Tensor) -> Inputs:
        """Return concat (B, channels, h, w).

        cond: {"image": masked or whole image, "mask": 1 or -1 ... }, or (B, 4, H, W): the masked
        image and the mask (1 where to paint, else -1), or (B, channels, h, w) ready made.
        """
        if isinstance(cond, Mapping):
            cond = torch.cat([cond["image"], cond["mask"]], dim=1)
        given = torch.as_tensor(cond).to(z)
        ready = (z.shape[0], self.channels, *z.shape[2:])
        if tuple(given.shape) != ready:
            if given.ndim != 4 or given.shape[1] != 4:
                raise InputError(
                    f"the inpainting condition must be {ready}, or (B, 4, H, W): masked image and "
                    f"mask, found {tuple(given.shape)}"
                )
            latent = self.encode(given[:, :3])
            mask = nn.functional.interpolate(given[:, 3:], size=latent.shape[-2:])
            given = torch.cat([latent, mask], dim=1)
        return {"concat": _shaped(given, z, ready, "the masked latent")}

    def null(self, cond: Any, z: torch.Tensor) -> Any:
        """Return zeros of the joined size."""
        return torch.zeros((z.shape[0], self.channels, *z.shape[2:]), dtype=z.dtype)

    def parts(self) -> dict[str, nn.Module]:
        """Return no networks; the first stage is counted once."""
        return {}


@dataclass(frozen=True)
class MaskedPrompt:
    """Stable Diffusion inpainting: a prompt, a mask and the masked image's latent.

    Attributes:
        encode: image (B, 3, H, W) in [-1, 1] -> scaled latent.
    """

    prompts: Prompts
    encode: Callable[[torch.Tensor], torch.Tensor]
    kind: str = "inpainting"

    def inputs(self, cond: Any, z: torch.Tensor) -> Inputs:
        """Return context and concat.

        cond: {"prompt": texts, "image": (B, 3, H, W) in [-1, 1], "mask": (B, 1, H, W), 1 where to
        paint}.
        """
        _check_fields(cond, ("prompt", "image", "mask"))
        mask = cond["mask"].to(z)
        latent = self.encode(cond["image"].to(z) * (mask < 0.5))
        small = nn.functional.interpolate(mask, size=z.shape[-2:])
        return self.prompts.inputs(cond["prompt"], z) | {"concat": torch.cat([small, latent], 1)}

    def null(self, cond: Any, z: torch.Tensor) -> Any:
        """Return the same picture under the empty prompt."""
        return dict(cond) | {"prompt": [""] * z.shape[0]}

    def parts(self) -> dict[str, nn.Module]:
        """Return the text encoder."""
        return self.prompts.parts()


@dataclass(frozen=True)
class UpscaledPrompt:
    """Stable Diffusion upscaling: a prompt, the low-resolution image and its noise level."""

    prompts: Prompts
    kind: str = "upscaling"

    def inputs(self, cond: Any, z: torch.Tensor) -> Inputs:
        """Return context, concat and labels.

        cond: {"prompt": texts, "image": (B, 3, h, w) in [-1, 1], noised by the caller if at all,
        "noise_level": integer, default 0}.
        """
        _check_fields(cond, ("prompt", "image"))
        level = torch.full((z.shape[0],), int(cond.get("noise_level", 0)), device=z.device)
        image = _shaped(cond["image"], z, (z.shape[0], 3, *z.shape[2:]), "the low-resolution image")
        return self.prompts.inputs(cond["prompt"], z) | {"concat": image, "labels": level}

    def null(self, cond: Any, z: torch.Tensor) -> Any:
        """Return the same picture under the empty prompt."""
        return dict(cond) | {"prompt": [""] * z.shape[0]}

    def parts(self) -> dict[str, nn.Module]:
        """Return the text encoder."""
        return self.prompts.parts()


def null_class_of(condition: Condition) -> int | None:
    """Return the label that stands for no class, where there is one."""
    if isinstance(condition, ClassLabels):
        return condition.null_class
    if isinstance(condition, ClassTokens):
        found: int | None = condition.embedder.config.null_class
        return found
    return None


def labels_of(cond: Any, z: torch.Tensor, *, classes: int) -> torch.Tensor:
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
            "the model was trained without a null class; give uncond, or leave guidance at 1"
        )
    return torch.full((z.shape[0],), null_class, dtype=torch.int64)


def _shaped(given: Any, z: torch.Tensor, wanted: tuple[int, ...], what: str) -> torch.Tensor:
    if given is None:
        raise InputError(f"the model needs {what} as cond, {wanted}")
    tensor = torch.as_tensor(given).to(z)
    if tuple(tensor.shape) != wanted:
        raise InputError(f"{what} must be {wanted}, found {tuple(tensor.shape)}")
    return tensor


def _check_batch(given: torch.Tensor, z: torch.Tensor, what: str) -> None:
    if given.shape[0] != z.shape[0]:
        raise InputError(f"{z.shape[0]} samples need as many {what}, found {given.shape[0]}")


def _check_fields(cond: Any, fields: tuple[str, ...]) -> None:
    if not isinstance(cond, Mapping) or any(field not in cond for field in fields):
        raise InputError(f"cond must be a mapping with {', '.join(fields)}")
