"""Records: what was measured, one row per cell."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ldmbench.schema.base import Noun, api_version
from ldmbench.schema.stage import Cell


class Score(Noun):
    """One quality number, its interval, and the signature that says how it was made."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    confidence: float | None = None
    n: int
    method: str = ""
    signature: str
    protocol: str = ""
    reason: str | None = Field(default=None, description="why the value is null")
    replicates: str | None = Field(default=None, description="key of the scores that hold them")


class Measure(Noun):
    """One number of speed or cost."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 1
    unit: str
    device: str
    reason: str | None = Field(default=None, description="why the value is null")
    batch: int | None = None
    ratios: tuple[float, ...] = Field(
        default=(), description="of a speed: each repeat's time in yardsticks of the same moment"
    )
    yardstick: str = Field(default="", description="the yardstick's version")
    setting: str = Field(
        default="", description="of a speed on a GPU: driver, CUDA, cuDNN, torch, and how it rounds"
    )
    converted: str = Field(
        default="", description="how a part of the value was brought from another device to this"
    )


class Choice(Noun):
    """The value of a field of sampling that was chosen for a model on seeds that are not scored."""

    axis: str
    value: str | None = Field(description="as cell ids write it; null where none could be chosen")
    chosen: bool = Field(description="whether the cell has that value")
    metric: str
    protocol: str
    rule: str
    seeds: tuple[int, ...] = Field(description="sample seeds of the choice; none is scored")
    means: dict[str, float | None] = Field(description="value -> mean of the metric on these seeds")
    equal: tuple[str, ...] = Field(default=(), description="values with the very same mean")
    reason: str | None = Field(default=None, description="why none was chosen")


class Record(Noun):
    """One measured row."""

    api_version: int = api_version(1)
    run: str
    cell: Cell
    status: Literal["done", "failed"]
    reason: str | None = None
    scores: tuple[Score, ...] = ()
    measures: tuple[Measure, ...] = ()
    warnings: tuple[str, ...] = Field(
        default=(), description="what makes a number less than it seems, one sentence each"
    )
    choice: Choice | None = Field(
        default=None, description="which value of a field of sampling is shown for the model"
    )
    keys: dict[str, str] = {}
    stale: tuple[str, ...] = Field(
        default=(), description="stage kinds whose artefacts an older code made"
    )
    machine: dict[str, Any] = {}
    versions: dict[str, str] = {}


class Run(Noun):
    """One execution of a suite."""

    api_version: int = api_version(1)
    id: str
    suite: str
    suite_digest: str
    question: str = ""
    source: str = Field(default="", description="the suite file's text, with --set applied")
    state: Literal["running", "done", "failed", "interrupted"]
    started: str
    finished: str | None = None
    pid: int | None = None
    executed: int = 0
    reused: int = 0
    cells: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    spans: dict[str, float] = Field(default={}, description="wall seconds by purpose")


class CurvePoint(Noun):
    """One point of a training curve."""

    step: int
    images: int
    loss: float | None
    seconds: float
    rate: float | None = Field(default=None, description="learning rate of this step")
    gradient_norm: float | None = Field(default=None, description="of this step, before clipping")


class CodingPoint(Noun):
    """Progressive coding at one timestep (arXiv:2006.11239, section 4.3)."""

    t: int
    bits_per_dim: float
    rmse: float


class SpectrumPoint(Noun):
    """Power of latents at one frequency, over that of their mean (arXiv:2502.14831)."""

    frequency: float = Field(description="share of the highest, zigzag order")
    log_power: float = Field(description="log10 of the mean power over that at frequency 0")


class Picture(Noun):
    """A contact sheet kept beside the records of a run: samples of a cell, or real images."""

    title: str = Field(description="a cell id, or real/<dataset>")
    dataset: str
    file: str = Field(description="PNG relative to the run's folder")
    side: int = Field(description="pixels of one image")
    columns: int
    rows: int
    captions: tuple[str, ...] = ()


class Extras(Noun):
    """What a report shows beside the records; rebuilt from the store like them."""

    api_version: int = api_version(1)
    curves: dict[str, tuple[CurvePoint, ...]] = Field(
        default={}, description="'<model>/<dataset> denoiser' (or autoencoder) -> points"
    )
    coding: dict[str, tuple[CodingPoint, ...]] = Field(default={}, description="cell id -> points")
    spectra: dict[str, tuple[SpectrumPoint, ...]] = Field(
        default={}, description="cell id -> spectrum of the latents of its first stage"
    )
    pictures: tuple[Picture, ...] = ()
