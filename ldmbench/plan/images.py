"""Where images come from: training images, references of each protocol, prompts, held-out ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ldmbench.canonical import canonical_json
from ldmbench.errors import InputError
from ldmbench.plan.digests import Digests
from ldmbench.plan.expand import Point
from ldmbench.plan.ledger import Ledger
from ldmbench.schema.data import (
    DATASET_SHARD,
    CallData,
    Data,
    FilesData,
    ShapesData,
    Split,
)
from ldmbench.schema.local import Code, Local
from ldmbench.schema.params import (
    AnySource,
    CallSource,
    DatasetParams,
    DrawnClasses,
    FilesSource,
    ShapesSource,
)
from ldmbench.schema.protocol import Protocol
from ldmbench.schema.sample import factors_of
from ldmbench.schema.stage import Splits, Stage
from ldmbench.schema.suite import Suite
from ldmbench.sources.images.source import Source
from ldmbench.sources.images.splits import count_split
from ldmbench.sources.kinds import open_source
from ldmbench.suite.protocols import REFERENCE, Real, real_images

HELD_OUT: tuple[Split, ...] = ("reference", "validation")
"""Splits that no model trains on, in the order in which probes take their images."""
CROP, RESIZE = "center", "pil-bicubic"
"""Of images that neither the suite nor a protocol says how to prepare."""
ENDLESS = 10**9


@dataclass
class Images:
    """Plans dataset stages into a ledger.

    Attributes:
        suite: as written.
        folder: of the suite file.
        digests: of the plan.
        protocols: under which samples are scored.
        ledger: where stages are added.
    """

    suite: Suite
    folder: Path
    digests: Digests
    protocols: Sequence[Protocol]
    ledger: Ledger = field(default_factory=Ledger)
    checked: set[tuple[Source, int, str, bool]] = field(default_factory=set)
    counts: dict[tuple[object, ...], int] = field(default_factory=dict)

    def train(self, point: Point) -> Stage:
        """Return the images that models of a dataset train on."""
        count = self.training_size(point)
        return self._add(point, "train", count, drawn=count < self.held(point, "train"))

    def prompts(
        self, point: Point, count: int, *, classes: DrawnClasses | None = None, seed: int = 0
    ) -> Stage:
        """Return captions and classes of validation images; `classes`: balanced or random."""
        drawn = seed if classes == "random" else 0
        return self._add(point, "prompts", count, classes=classes, seed=drawn)

    def truth(self, point: Point, count: int) -> Stage:
        """Return validation images with all that is known of them, for tasks that start there.

        For larger samples they are read at the larger side; of unlike factors the centre is cut.
        """
        height, width = factors_of(point.size)
        side, most = point.data.resolution, max(height, width)
        if most == 1:
            return self._add(point, "truth", count)
        data = point.data.model_copy(update={"resolution": side * most})
        window = None if height == width else (side * height, side * width)
        try:
            return self._add(replace(point, data=data), "truth", count, window=window)
        except InputError as error:
            raise InputError(
                f"sample.size {point.size} takes conditions of {side * most} pixels from"
                f" data.{plain_name(point.dataset)}: {error}"
            ) from error

    def reference(self, point: Point, protocol: Protocol) -> tuple[Stage, int]:
        """Return the real images that a protocol compares samples with, and how many of them."""
        real, count = self.reference_size(point, protocol)
        most = self.held(point, real.split)
        part = count < most or (protocol.neighbour_count or count) < count
        return self._add(point, real.split, count, real=real, drawn=part), count

    def reference_size(self, point: Point, protocol: Protocol) -> tuple[Real, int]:
        """Return what a protocol asks for as its reference, and how many images of it there are."""
        real = self._real(point, protocol)
        most = self.held(point, real.split)
        asked = point.data.reference or real.count or (most if real.whole else REFERENCE)
        return real, min(asked, most)

    def held_out(self, point: Point, protocol: Protocol, count: int) -> Stage | None:
        """Return images that no model trains on: of the reference, else of validation; or None.

        A probe takes what the splits hold without it, so that it never changes what is trained.
        """
        real = self._real(point, protocol)
        for split in HELD_OUT:
            most = self.held(point, split)
            if most:
                return self._add(point, split, min(count, most), real=real)
        return None

    def validation(self, point: Point, protocol: Protocol, count: int) -> Stage | None:
        """Return validation images prepared as the reference, `count` at the most; or None."""
        most = self.held(point, "validation")
        if not most:
            return None
        return self._add(
            point, "validation", min(count, most), real=self._real(point, protocol), drawn=True
        )

    def splits(self, point: Point) -> Splits:
        """Return how many images of a point's dataset serve for what."""
        sides = {p.name: self.reference_size(point, p) for p in self.protocols}
        held = self.held(point, "validation")
        try:
            train = self.training_size(point)
        except InputError:  # where nothing is trained, no image need be left for it
            train = None
        return Splits(
            train=train,
            validation=None if held == ENDLESS else held,
            references={
                name: {"split": real.split, "count": count} for name, (real, count) in sides.items()
            },
        )

    def training_size(self, point: Point) -> int:
        """Return how many images models train on."""
        most = self.held(point, "train")
        return min(point.data.train or most, most)

    def _real(self, point: Point, protocol: Protocol) -> Real:
        return real_images(protocol, plain_name(point.dataset))

    def _add(
        self,
        point: Point,
        split: Split,
        count: int,
        *,
        real: Real | None = None,
        drawn: bool = False,
        classes: DrawnClasses | None = None,
        seed: int = 0,
        window: tuple[int, int] | None = None,
    ) -> Stage:
        source, local = self._source(point, split, real)
        if isinstance(source, FilesSource) and (drawn or split != "train"):
            # so that the first images are no one class
            source = source.model_copy(update={"order": "digest"})
        params = DatasetParams(
            source=source, split=split, classes=classes, seed=seed, window=window
        )
        return self.ledger.add("dataset", params, {}, shard=DATASET_SHARD, count=count, local=local)

    def _source(self, point: Point, split: Split, real: Real | None) -> tuple[AnySource, Local]:
        """Return what a dataset means (keyed) and where it lies (not keyed)."""
        data = point.data
        if isinstance(data, CallData):
            return self._called(data, self._own(point, split))
        if not isinstance(data, FilesData):
            return shapes_of(data), Local()
        stated = [real] if real else [self._real(point, p) for p in self.protocols]
        crops = [r.crop for r in stated if r.crop]
        resizes = [r.resize for r in stated if r.resize]
        crop, resize = data.preparation
        crop = crop or (crops or [CROP])[0]
        self._check(data, crop)
        source = FilesSource(
            kind=data.kind,
            resolution=data.resolution,
            crop=crop,
            resize=resize or (resizes or [RESIZE])[0],
            upscale=int(data.upscale),
            reference=self.carved(point),
            validation=data.carved,
            digest=self.digests.images(self._opened(data)),
            own=data.own_fields(),
        )
        cache = self.digests.cache
        digests = str(cache.resolve()) if cache else None
        local = Local(path=str(self.place(data)), digests=digests, prepare=data.prepare)
        return source, local

    def _called(self, data: CallData, held: int | None) -> tuple[CallSource, Local]:
        """Return what a split of the user's own images means, and where their code lies."""
        folder, target = self.folder.resolve(), data.target
        digest = self.digests.plugin(target, folder, "datasets", data.files)
        source = CallSource(
            kind=data.kind,
            resolution=data.resolution,
            target=target,
            options=canonical_json(data.options),
            digest=digest,
            classes=data.classes,
            held=held,
        )
        call = Code(
            target=target, folder=str(folder), digest=digest, options=data.options, files=data.files
        )
        return source, Local(call=call)

    def carved(self, point: Point) -> int:
        """Return how many images of a dataset are for reference, where it names no number."""
        if point.data.reference:
            return point.data.reference
        reals = [self._real(point, protocol) for protocol in self.protocols]
        counts = [real.count or REFERENCE for real in reals if real.split == "reference"]
        return max(counts, default=0)

    def held(self, point: Point, split: Split) -> int:
        """Return the images a split holds; a procedural dataset has no end of them."""
        data = point.data
        if isinstance(data, CallData):
            return self._own(point, split) or ENDLESS
        if not isinstance(data, FilesData):
            ends = {"train": data.train, "reference": data.reference}
            return ends.get(split) or ENDLESS
        kept = {"reference": self.carved(point), "validation": data.carved}
        source = self._opened(data)
        asked = (source, split, *kept.values())
        if asked not in self.counts:
            self.counts[asked] = count_split(source, split, **kept)
        return self.counts[asked]

    def _own(self, point: Point, split: Split) -> int | None:
        """Return how many of the user's own images a split holds; None where there is no end."""
        assert isinstance(point.data, CallData)
        if split == "train":
            return point.data.train
        return self.carved(point) or None if split == "reference" else point.data.validation

    def _check(self, data: FilesData, crop: str) -> None:
        """Look at every image of a source once for each way in which it is prepared."""
        asked = (self._opened(data), data.resolution, crop, data.upscale)
        if asked not in self.checked:
            source, side, _, upscale = asked
            source.check(self.digests.cache, resolution=side, crop=crop, upscale=upscale)
            self.checked.add(asked)

    def source(self, data: Data) -> Source | None:
        """Return the images of a dataset on disk; None where they lie in no file."""
        return self._opened(data) if isinstance(data, FilesData) else None

    def _opened(self, data: FilesData) -> Source:
        return open_source(data.kind, self.place(data), data.own_fields())

    def place(self, data: FilesData) -> Path:
        """Return where images lie."""
        return (self.folder / data.path).resolve()


def shapes_of(data: ShapesData) -> ShapesSource:
    """Return the embedded data without their counts."""
    return ShapesSource(
        kind=data.kind,
        resolution=data.resolution,
        texture=data.texture,
        objects=data.objects,
        seed=data.seed,
    )


def plain_name(title: str) -> str:
    """Return the name of a dataset or model as the suite writes it, without its axes."""
    return title.partition("[")[0]
