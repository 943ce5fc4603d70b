"""Task: what a worker is handed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from ldmbench.schema.base import Noun
from ldmbench.schema.stage import Kind


class TaskInput(Noun):
    """Folders of one input: one, or the shards that cover items [start, stop)."""

    folders: tuple[Path, ...]
    start: int = 0
    stop: int = 0
    first: int = Field(default=0, description="item at which the first folder begins")
    shard: int = Field(default=0, description="items per folder")


class Task(Noun):
    """One stage (or one shard of it), ready to run: folders in, one folder out.

    On a GPU a task of some kinds has further shards of its stage with it, in `beside`.
    """

    kind: Kind
    key: str
    params: dict[str, Any]
    inputs: dict[str, TaskInput]
    local: dict[str, Any] = {}
    output: Path
    scratch: Path = Field(description="kept between attempts: checkpoints")
    device: str = "cpu"
    threads: int | None = None
    shard: tuple[int, int] | None = None
    beside: tuple[Task, ...] = ()

    @property
    def shards(self) -> tuple[Task, ...]:
        """Return this task and those beside it."""
        return (self, *self.beside)
