"""A pipeline as a suite samples it: by its own call, images of the data set's size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ldmbench.errors import InputError
from ldmbench.models.flops import count_flops
from ldmbench.models.model import Model
from ldmbench.models.pipelines.pipeline import Pipeline
from ldmbench.models.subject import Work
from ldmbench.models.tasks import Truth
from ldmbench.schema.params import Sampling

__all__ = ["PARTS", "Piped", "parts_of"]

PARTS = ("text_seconds", "denoising_seconds", "decoding_seconds")
"""What `Piped.parts` returns, as measures are called."""

Images = NDArray[np.uint8]


class Piped:
    """A pipeline that is sampled by its own call, and quantised by its own rule.

    Noise goes in where the shape of its latents is known; other pipelines draw it themselves, by
    one generator for each sample.

    Attributes:
        model: the pipeline.
        side: of the images.
        call: further arguments of its call.
    """

    def __init__(self, model: Model, *, side: int, call: Mapping[str, object]) -> None:
        assert isinstance(model, Pipeline)
        self.model, self.side, self.call = model, side, dict(call)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (C, h, w) of its latents; (1, 1, 1) where that is not known."""
        if self.model.family is None:
            return 1, 1, 1
        return self.model.shape_of(self.side)

    @property
    def needs_truth(self) -> bool:
        """Tell that it reads prompts alone."""
        return False

    def condition(
        self, *, captions: Sequence[str] | None, labels: object | None, truth: Truth | None = None
    ) -> Any:
        """Return the prompts."""
        return list(captions or ())

    def draw(
        self, noise: Tensor, *, condition: Any, params: Sampling, seeds: Sequence[int]
    ) -> Images:
        """Call the pipeline.

        Raises:
            InputError: it refuses an argument, or makes images of another size.
        """
        made = self.model.call(
            condition,
            steps=params.steps,
            guidance=params.guidance,
            sides=(self.side, self.side),
            noise=None if self.model.family is None else noise,
            seeds=seeds,
            output_type="pil",
            **self.call,
        )
        images = np.stack([np.asarray(image.convert("RGB")) for image in made])
        wanted = (len(noise), self.side, self.side, 3)
        if images.shape != wanted:
            raise InputError(
                f"{self.model.info.path} made images of shape {images.shape}, not {wanted}; give it"
                " a data set of a resolution that it makes"
            )
        return images

    def parts(self, make: Callable[[], object]) -> tuple[float, float, float]:
        """Return seconds before the denoiser is first asked, until it last answers, and after.

        Args:
            make: samples once.
        """
        denoiser, marks = self.model.networks()["denoiser"], list[float]()
        cuda = next(denoiser.parameters()).device.type == "cuda"

        def mark(*_: object) -> None:
            if cuda:
                torch.cuda.synchronize()
            marks.append(perf_counter())

        hooks = denoiser.register_forward_pre_hook(mark), denoiser.register_forward_hook(mark)
        try:
            mark()
            make()
            mark()
        finally:
            for hook in hooks:
                hook.remove()
        start, first, *_, last, end = marks
        return first - start, last - first, end - last

    @torch.no_grad()
    def work(self, params: Sampling) -> Work:
        """Count one image as it is made: calls of the denoiser, and what is beside them."""
        networks = self.model.networks()
        parts = {name: sum(p.numel() for p in m.parameters()) for name, m in networks.items()}
        first, denoiser = parts.pop("first_stage", 0), networks["denoiser"]
        device = next(denoiser.parameters()).device
        noise = torch.zeros((1, *self.shape), device=device)
        asked: list[_Asked] = []
        hook = denoiser.register_forward_pre_hook(
            lambda _, args, kwargs: asked.append(_Asked(args, kwargs)), with_kwargs=True
        )
        try:
            whole = count_flops(lambda: self.draw(noise, condition=[""], params=params, seeds=[0]))
        finally:
            hook.remove()
        once = count_flops(lambda: denoiser(*asked[0].args, **asked[0].kwargs)) // asked[0].batch
        rest = whole - once * sum(one.batch for one in asked)
        decoder = 0 if self.model.family is None else count_flops(lambda: self.model.decode(noise))
        twice = 1 if params.guidance == 1 else 2  # how often a condition counts
        return Work(
            evaluations=len(asked),
            guided=sum(one.batch - 1 for one in asked),
            denoiser=once,
            condition=max(rest - decoder, 0) // twice,
            decoder=decoder,
            parameters=sum(parts.values()),
            autoencoder_parameters=first,
        )


def parts_of(subject: object, make: Callable[[], object], *, repeats: int) -> dict[str, float]:
    """Return medians of the parts of one image's time, in seconds; none where they are not seen.

    Args:
        subject: what is sampled.
        make: samples one image of it.
        repeats: how often.
    """
    if not isinstance(subject, Piped):
        return {}
    rows = [subject.parts(make) for _ in range(repeats)]
    return dict(zip(PARTS, np.median(rows, axis=0).tolist(), strict=True))


class _Asked:
    """One call of a denoiser.

    Attributes:
        args: by position.
        kwargs: by name.
        batch: its samples, those of guidance included.
    """

    def __init__(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self.args, self.kwargs = args, dict(kwargs)
        values = [*args, *self.kwargs.values()]
        self.batch = next((len(v) for v in values if _is_batch(v)), 1)


def _is_batch(value: object) -> bool:
    """Tell whether an argument has a row, or an entry of a list, for each sample."""
    if isinstance(value, list):
        return bool(value) and isinstance(value[0], Tensor)
    return isinstance(value, Tensor) and value.ndim > 1
