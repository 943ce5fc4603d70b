"""References: the record of how the features of real images were made, beside them on disk."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ldmbench.schema.base import Noun, api_version

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Reference(Noun):
    """The provenance of FILE.npz (features, logits, mu, sigma), kept in FILE.json."""

    api_version: int = api_version(1)
    title: str = Field(description="what it was built from, for people")
    protocol: str
    extractor: str
    weights: str = Field(description="sha256 of the extractor's weights")
    precision: str = "float32"
    resolution: int = Field(description="side of the prepared images, pixels")
    crop: str
    resize: str
    count: int = Field(description="images, m")
    width: int = Field(description="features per image")
    lossy: int = Field(default=0, description="images that were jpg, jpeg or webp files")
    ref: str = Field(default="", description="how signatures name its images")
    neighbours: int = Field(
        default=0, description="first images that metrics of neighbours compare with; 0: all"
    )
    neighbours_ref: str = Field(default="", description="how signatures name these")
    source_digest: str = Field(description="of the images' names and contents")
    images: dict[str, str] = Field(default={}, description="image -> sha256; empty for shapes")
    sha256: Sha256 = Field(description="of FILE.npz")
    versions: dict[str, str] = {}
