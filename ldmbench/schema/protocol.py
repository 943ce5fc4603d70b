"""Protocols: named, versioned evaluation recipes, as data."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ldmbench.schema.base import Noun, Positive


class Protocol(Noun):
    """How numbers are made: everything a signature says that is not a digest or a count."""

    name: str
    extractor: str = Field(default="shapes-net", description="features for fid, kid, precision ...")
    clip: str = Field(default="shapes-clip", description="the open_clip model of clip_score")
    k: Annotated[int, Positive] = Field(default=3, description="neighbour of precision, recall")
    k_density: Annotated[int, Positive] = Field(
        default=5, description="neighbour of density, coverage"
    )
    rule: Literal["le", "lt"] = Field(default="le", description="precision, recall: <= or < radius")
    kid_subsets: Annotated[int, Positive] = 100
    kid_subset_size: Annotated[int, Positive] = 1000
    splits: Annotated[int, Positive] = Field(
        default=10, description="splits of the inception score"
    )
    shuffle_seed: int | None = Field(default=2020, description="order of the splits; null keeps it")
    precision: Literal["float32", "bfloat16"] = "float32"
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    source: str = Field(default="", description="where the recipe was read")


SHAPES_V1 = Protocol(name="shapes-v1", source="ldmbench docs/evaluators.md")
