"""Whether the data have the conditions that a model needs: captions, classes, images held out.

One table for models trained here, loaded or called. The rule: what prompts samples must all be
there, since an empty prompt gives a number that means nothing; of what is trained on a part may
lack, and is counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ldmbench.catalog.datasets import DATASETS
from ldmbench.plan.captions import caption_cautions
from ldmbench.plan.expand import Point
from ldmbench.plan.images import Images, plain_name
from ldmbench.schema.data import FilesData, ImageConditions
from ldmbench.schema.models import CAPTION_TOKENS, CallModel, LdmModel, LoadModel
from ldmbench.schema.suite import Suite
from ldmbench.sources.images.conditions import conditions_of
from ldmbench.suite.read import Loc

__all__ = ["ConditionChecks", "Problem"]

Problem = tuple[Loc, str]
HOW = "a .txt file with the same name next to each image, or captions.jsonl (docs/data.md)"


@dataclass
class ConditionChecks:
    """Looks at each dataset once, for all models that it is to tell something.

    Attributes:
        suite: as written.
        images: where datasets lie and how they are split.
        draws: whether a protocol draws the classes of samples.
        looked: dataset, training or not, and how many prompts -> what is there.
    """

    suite: Suite
    images: Images
    draws: bool
    looked: dict[tuple[str, bool, int], ImageConditions | None] = field(default_factory=dict)

    def problems(self, point: Point, conditioning: str, count: int) -> Iterator[Problem]:
        """Yield (place, problem) of a model whose conditions a dataset lacks.

        Args:
            point: a model and a dataset.
            conditioning: none, class, caption or truth.
            count: samples.
        """
        if conditioning == "none":
            return
        data, model = plain_name(point.dataset), plain_name(point.model)
        if not self.images.held(point, "validation"):
            yield (
                ("data", data, "validation"),
                f"found no validation image, and validation images prompt the samples of"
                f" models.{model} (conditioning: {conditioning}); allowed: 1 or more",
            )
            return
        found = self._look(point, count)
        problem = None
        if conditioning == "caption" and found:
            problem = self._captions(point, found)
        elif conditioning == "class":
            problem = self._classes(point, found)
        if problem:
            place, subject = _subject(self.suite, point, conditioning)
            yield place, f"{subject}, but data.{data} {problem}"

    def cautions(
        self, point: Point, conditioning: str, count: int, *, clips: Sequence[str]
    ) -> Iterator[str]:
        """Yield what is less than it seems, each with its count.

        Args:
            point: a model and a dataset, of which `problems` says nothing.
            conditioning: none, class, caption or truth.
            count: samples.
            clips: extractors of CLIP scores.
        """
        found = self._look(point, count) if conditioning in ("caption", "class") else None
        if found is None:
            return
        name = f"data.{plain_name(point.dataset)}"
        trained = isinstance(point.spec, LdmModel)
        if conditioning == "class":
            if trained:
                yield from _class_cautions(found, name, draws=self.draws)
            return
        what = f"the {len(found.prompts):,} captions of {name} that prompt samples"
        lacking = found.trained - found.captioned
        if trained and lacking:
            yield (
                f"{lacking:,} of {found.trained:,} training images of {name} have no caption: the"
                " model trains on them with an empty caption"
            )
        wordless = [text for text in found.prompts if text and not any(map(str.isalpha, text))]
        if wordless:
            first = wordless[0][:40]
            yield f"{len(wordless):,} of {what} have no letter in them, such as '{first}'"
        if len(found.prompts) > 1 and len(set(found.prompts)) == 1:
            yield f"{what} are the same text, so samples do not depend on captions"
        if isinstance(point.spec, LdmModel) and not (
            point.spec.denoiser.vocabulary or point.spec.denoiser.text_encoder
        ):
            most = CAPTION_TOKENS - 1
            cut = sum(len(re.findall(r"[^\W_]+", text)) > most for text in found.prompts)
            if cut:
                yield f"{cut:,} of {what} are longer than the {most} words that the model reads"
        for extractor in clips:
            yield from caption_cautions(found.prompts, extractor, what)

    def _look(self, point: Point, count: int) -> ImageConditions | None:
        """Return what a folder can tell; None of data that can tell all, or only when it runs."""
        source = self.images.source(point.data)
        if source is None or not isinstance(point.data, FilesData):
            return None
        trained = isinstance(point.spec, LdmModel)
        key = (point.dataset, trained, count)
        if key not in self.looked:
            self.looked[key] = conditions_of(
                source,
                reference=self.images.carved(point),
                validation=point.data.carved,
                train=self.images.training_size(point) if trained else None,
                prompts=count,
            )
        return self.looked[key]

    def _captions(self, point: Point, found: ImageConditions) -> str | None:
        blank = sum(not text for text in found.prompts)
        many = len(found.classes) > 1
        other = "none, class" if many and isinstance(point.spec, LdmModel) else "none"
        packed = str(_files(point).path).lower().endswith(".npz")
        data, row = _files(point), DATASETS[_files(point).kind]
        how = row.captions.format(year=getattr(data, "year", "")) or HOW
        if "captions" not in row.tells:
            how = f"data of another kind, because {data.kind} has no captions"
        how = "a folder or zip with captions, because an npz has no captions" if packed else how
        allowed = f"allowed: {other}, or captions: {how}"
        if isinstance(point.spec, LoadModel):
            allowed = f"allowed: data with captions: {how}"
        if blank == len(found.prompts) and not found.captioned:
            return f"has no captions; {allowed}"
        if blank:
            of = f"{blank:,} of the {len(found.prompts):,} validation images that prompt samples"
            return f"has no caption, or an empty one, for {of}; {allowed}"
        if found.trained and not found.captioned:
            return f"has no caption for any of {found.trained:,} training images; {allowed}"
        return None

    def _classes(self, point: Point, found: ImageConditions | None) -> str | None:
        how = "a folder for each class, labels of an npz or dataset.json, or labels: name"
        if isinstance(point.data, FilesData):
            how = DATASETS[point.data.kind].labels or how
        allowed = f"allowed: none, or data of several classes: {how}"
        if not isinstance(point.spec, LdmModel):
            allowed = f"allowed: data of several classes: {how}"
        if found is None:
            stated = getattr(point.data, "classes", None)
            return f"has one class; {allowed}" if stated == 1 else None
        if found.all_classes < 2:
            return f"has one class; {allowed}"
        if found.trained and len(found.classes) < 2:
            return f"has training images of one class; {allowed}"
        bare = 0 if self.draws else sum(label < 0 for label in found.held_out)
        for count, of, what in (
            (found.classless, found.trained, "training"),
            (bare, len(found.held_out), "validation"),
        ):
            if count:
                return f"has no class for {count:,} of its {of:,} {what} images; {allowed}"
        return None


def _class_cautions(found: ImageConditions, name: str, *, draws: bool) -> Iterator[str]:
    held, seen = set(found.held_out), set(found.classes)
    if draws:
        unseen = found.all_classes - len(seen)
        if unseen:
            yield (
                f"{unseen:,} of {found.all_classes:,} classes of {name}, which the protocol draws"
                " samples of, have no training image: the model never saw them"
            )
        return
    lost = len(seen - held)
    if lost:
        yield (
            f"{lost:,} of {len(seen):,} classes of training images of {name} have no validation"
            " image, so no sample has these classes"
        )
    strange = sum(label not in seen for label in found.held_out)
    if strange:
        yield (
            f"{strange:,} of {len(found.held_out):,} validation images of {name} are of classes"
            " without a training image: the model never saw the classes of these samples"
        )


def _files(point: Point) -> FilesData:
    assert isinstance(point.data, FilesData)
    return point.data


def _subject(suite: Suite, point: Point, conditioning: str) -> tuple[Loc, str]:
    """Return the place of a model's condition, and the beginning of a sentence about it."""
    name = plain_name(point.model)
    if isinstance(point.spec, LoadModel):
        needed = "captions" if conditioning == "caption" else "classes"
        return ("models", name, "path"), f"found '{point.spec.path}', a model that needs {needed}"
    if isinstance(point.spec, CallModel):
        return ("models", name, "conditioning"), f"found {conditioning}"
    written = suite.models[name]
    assert isinstance(written, LdmModel)
    said = "conditioning" in written.denoiser.model_fields_set
    default = "" if said else " (the default)"
    return ("models", name, "denoiser", "conditioning"), f"found {conditioning}{default}"
