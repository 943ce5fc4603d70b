"""Tasks: what a model is conditioned on, one row each; suites, plans, training and loaders read it.

arXiv:2112.10752, section 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "CONDITIONINGS",
    "FROM_TRUTH",
    "GIVEN",
    "MAP_CHANNELS",
    "TASKS",
    "Part",
    "Task",
    "joined_channels",
    "task_of_kind",
]

MAP_CHANNELS = 8
"""Of a semantic map after its rescaling."""
Part = Literal["captions", "classes", "boxes", "masks"]
ConditionInput = Literal["none", "class", "caption", "truth"]


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task.

    Attributes:
        name: `conditioning` of a denoiser that is trained here.
        label: what people read.
        kinds: conditions of loaded models (`Info.conditioning`) that are of this task.
        input: what a dataset gives it: nothing, classes, captions, or real images with all that is
            known of them.
        needs: what the data must have beside the images.
        given: fields that say how its condition is made of a real image, and what is taken where
            nothing is said.
        fields: of a denoiser trained here that concern this task alone.
        joins: whether the condition joins the latent; else it is attended to, or has no place.
        aims: whether samples should come near to the very image that the condition is made of.
        about: one line for lists.
    """

    name: str
    label: str
    kinds: tuple[str, ...]
    input: ConditionInput
    needs: Part | None = None
    given: Mapping[str, str] = field(default_factory=dict)
    fields: tuple[str, ...] = ()
    joins: bool = False
    aims: bool = False
    about: str = ""


# fmt: off
_ROWS = (
    Task(name="none", label="Unconditional", kinds=("none",), input="none", about="no condition"),
    Task(
        name="class", label="Class", kinds=("class",), input="class", needs="classes",
        fields=("inject",),
        about="a class, as one token of cross-attention or added to the time embedding",
    ),
    Task(
        name="caption", label="Text", kinds=("text",), input="caption", needs="captions",
        fields=("vocabulary", "text_encoder", "caption_tokens", "context_depth"),
        about="a caption through a text encoder, by cross-attention",
    ),
    Task(
        name="layout", label="Layout", kinds=("layout",), input="truth", needs="boxes",
        fields=("context_depth", "corners"),
        about="boxes with classes as tokens through a transformer, by cross-attention",
    ),
    Task(
        name="semantic", label="Semantic map", kinds=("semantic",), input="truth", needs="masks",
        joins=True, about="the class of each pixel, rescaled and concatenated",
    ),
    Task(
        name="superresolution", label="Super-resolution", kinds=("image", "upscaling"),
        input="truth", given={"downscale": "pil-bicubic"}, fields=("scale", "downscale"),
        joins=True, aims=True, about="a small image, concatenated",
    ),
    Task(
        name="inpainting", label="Inpainting", kinds=("inpainting",), input="truth",
        given={"mask": "boxes"}, fields=("mask",), joins=True, aims=True,
        about="the masked image's latent and the mask, concatenated; known pixels are put back",
    ),
    Task(
        name="image", label="Image to image", kinds=("image-to-image",), input="truth",
        given={"blur": "2"}, fields=("blur",), joins=True, aims=True,
        about="the latent of a blurred image, concatenated",
    ),
)
# fmt: on
TASKS: dict[str, Task] = {row.name: row for row in _ROWS}
"""Every task by its name in suites; the order is that of reports."""
CONDITIONINGS: dict[str, ConditionInput] = {kind: row.input for row in _ROWS for kind in row.kinds}
"""What a loaded model is conditioned on -> what a dataset gives it."""
FROM_TRUTH = tuple(kind for kind, source in CONDITIONINGS.items() if source == "truth")
"""Conditions that are made of real images."""

GIVEN = {name: value for row in _ROWS for name, value in row.given.items()}
"""How conditions are made of real images where nothing is said."""


def task_of_kind(kind: str) -> Task | None:
    """Return the task of a loaded model's condition; None where no suite has it."""
    return next((row for row in _ROWS if kind in row.kinds), None)


def joined_channels(task: str, *, channels: int, side: int, f: int, scale: int) -> int:
    """Return how many channels the condition of a model that is trained here joins to its latent.

    Args:
        task: a row of TASKS.
        channels: of a latent.
        side: of a latent.
        f: downsampling factor of the first stage.
        scale: superresolution: side of an image / side of its small one.
    """
    if task == "superresolution":
        folded = max(1, side * f // scale // side)
        return 3 * folded**2
    return {"semantic": MAP_CHANNELS, "inpainting": channels + 1, "image": channels}.get(task, 0)
