"""Task: what a worker is handed."""

from __future__ import annotations

from pathlib import Path
from typing import Generic, Self

from pydantic import Field, SerializeAsAny, model_validator
from typing_extensions import TypeVar

from ldmbench.schema.base import Kind, Noun
from ldmbench.schema.local import Local
from ldmbench.schema.params import Params, with_params

P_co = TypeVar("P_co", bound=Params, default=Params, covariant=True)


class TaskInput(Noun):
    """Folders of one input: one, or the shards that cover items [start, stop)."""

    folders: tuple[Path, ...]
    start: int = 0
    stop: int = 0
    first: int = Field(default=0, description="item at which the first folder begins")
    shard: int = Field(default=0, description="items per folder")


class Task(Noun, Generic[P_co]):
    """One stage (or one shard of it), ready to run: folders in, one folder out.

    On a GPU a task of some kinds has further shards of its stage with it, in `beside`.
    """

    kind: Kind
    key: str
    params: SerializeAsAny[P_co]
    inputs: dict[str, TaskInput]
    local: Local = Local()
    output: Path
    scratch: Path = Field(description="kept between attempts: checkpoints")
    states: Path | None = Field(
        default=None, description="where a training keeps the state in which it ends"
    )
    device: str = "cpu"
    threads: int | None = None
    devices: int = Field(default=1, description="processes that train one model together")
    shard: tuple[int, int] | None = None
    beside: tuple[Self, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _read(cls, found: object) -> object:
        return with_params(found)

    @property
    def shards(self) -> tuple[Self, ...]:
        """Return this task and those beside it."""
        return (self, *self.beside)
