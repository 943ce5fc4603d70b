"""Metrics: one row says everything that is asked of a metric, and every other module reads it.

To add one: write a function in `metrics/`, a row here, a number in `tests/golden/`
(CONTRIBUTING.md has a worked example).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ldmbench.catalog.normalisers import NORMALISERS_FROM
from ldmbench.catalog.rows import Gate, Group, Quantity

Needs = Literal["features", "logits", "spatial", "text", "images", "neighbours"]
Against = Literal[
    "nothing", "reference", "training", "validation", "caption", "pair", "class", "scene", "latents"
]
Fields = Mapping[str, str | int | None]
Signed = Callable[[Mapping[str, object], int], Fields]
"""(parameters of the stage, images in the smaller set) -> fields of the signature."""


@dataclass(frozen=True, kw_only=True)
class Networks:
    """Networks that a family loads beside the extractor of its protocol.

    Attributes:
        field: of the protocol, which names one.
        files: value of that field -> rows of WEIGHTS.
    """

    field: str
    files: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Family:
    """Metrics that one stage computes together, since they share their work.

    `compute` is called with the arrays that `needs` and `against` name, in this order: of the
    samples; of the training set; of the reference, the captions or the pairs. As keywords it gets
    the protocol's fields of its metrics, `constants`, and of `confidence`, `engine`, `device`,
    `kept` and `report` those that it takes. It returns a number, an array of one number for each
    sample (the score is their mean), `Replicates`, or a dict of these by name.

    Attributes:
        name: of the stage's parameters and keys.
        compute: "module:function".
        needs: what is read of each set: features (N, D), logits (N, C) or spatial features
            (N, S) of the protocol's extractor, features of its CLIP model, images, or distances
            (N, k) of latents to their neighbours.
        against: what samples are compared with. `training` means the training set and the
            reference; `validation` the reference and the validation images, which a family of
            several extractors is handed one after the other; `pair` features of both, or an iterable of batches (a, b), uint8 NHWC;
            `class` the classes (N,) that were asked for; `latents` the training latents that
            neighbours are among, so that nothing more is handed over; `scene` gives an iterable of batches of
            images and the `Scene` that was asked for.
        extractor: the field of the protocol that names the extractor (extractor, clip), or a row
            of EXTRACTORS that every protocol uses.
        constants: parameters that no protocol changes; keyed and signed.
        networks: beside the extractor.
        statistics: names of the mean and covariance in an npz that can stand for the reference.
        part: field of the protocol that says how many reference images are used, if not all.
        covariance: whether it fits one, which few samples do not determine.
        zeros: whether rows of features may be zero throughout.
        spaces: field of the protocol that names several extractors, each of whose features are
            read; empty there: the one of `extractor`.
        defined_on: beginning of the names of the extractors whose features it is defined on.
        shapes: whether it is defined on the data set `shapes` alone, whose classes it knows.
    """

    name: str
    compute: str
    needs: Needs = "features"
    against: Against = "reference"
    extractor: str = "extractor"
    constants: Mapping[str, object] = field(default_factory=dict)
    networks: Networks | None = None
    statistics: tuple[str, str] | None = None
    part: str | None = None
    covariance: bool = False
    zeros: bool = True
    spaces: str = ""
    defined_on: str = ""
    shapes: bool = False

    def extractor_of(self, protocol: object) -> str:
        """Return the extractor of its features under a protocol."""
        return str(getattr(protocol, self.extractor, self.extractor))

    def extractors_of(self, protocol: object) -> tuple[str, ...]:
        """Return all extractors whose features are read under a protocol."""
        named = getattr(protocol, self.spaces, ()) if self.spaces else ()
        return tuple(named) or (self.extractor_of(protocol),)

    @property
    def has_reference(self) -> bool:
        """Whether features of real images are read."""
        return self.against in ("reference", "training", "validation")


@dataclass(frozen=True, kw_only=True)
class Least:
    """The fewest images that a metric is defined for.

    Attributes:
        samples: of the samples.
        reals: of the reference.
        per: fields of the protocol; the largest is added to both numbers.
        why: said after the number; {most} is that largest value.
    """

    samples: int = 1
    reals: int = 1
    per: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Metric(Quantity):
    """A score of images.

    Attributes:
        source: the paper.
        family: what it is computed with.
        fields: of a protocol, on which it depends: keyed, and signed unless `signed` says how.
        signed: parameters -> fields of the signature, where these are not `fields` as they are.
        least: the fewest images.
        smallest: the smallest side of an image in pixels.
        share: a share of images, which sets that differ may have in common by chance.
        short: heading in the table that ends a run; "" leaves it out there.
        rank: figures of a run show the lowest that was measured.
        charted: a figure shows it against the rate of first stages.
        usual: `ldmbench score` computes it where no metric is named and it has what it needs.
        interpolated: it is of reconstructions whose latents were moved towards training latents.
        near: the fewest training latents whose neighbours it looks at; 0: it looks at none.
        in_suite: only a suite that names it has it; else it comes with all reconstructions, and a
            suite that names it asks for these.
        of: the metric that this is on other images: rfid is the fid of reconstructions.
        judged: what a network from disk reads of samples, to measure it on data that the family is
            not defined on: boxes (a detector) or a map (a segmenter).
    """

    source: str
    family: Family
    group: Group = "quality"
    fields: tuple[str, ...] = ()
    signed: Signed | None = None
    least: Least = Least()
    smallest: int = 1
    share: bool = False
    short: str = ""
    rank: int = 99
    charted: bool = False
    usual: bool = False
    in_suite: bool = True
    of: str = ""
    interpolated: bool = False
    near: int = 0
    judged: Literal["", "boxes", "map"] = ""

    @property
    def summary(self) -> str:
        """What it is and where it was defined, for lists."""
        return f"{self.about} ({self.source})" if self.source else self.about

    def signature_fields(self, params: Mapping[str, Any], least: int) -> Fields:
        """Return what a signature says of this metric alone.

        Args:
            params: of the stage that computed it.
            least: images in the smaller of the two sets.
        """
        if params.get("paired"):
            return {"resampled": "pairs"}
        if self.signed:
            return self.signed(params, least)
        return {name: params[name] for name in (*self.fields, *self.family.constants)}


def _kid_subsets(params: Mapping[str, Any], least: int) -> Fields:
    return {"subsets": f"{params['kid_subsets']}x{min(params['kid_subset_size'], least)}"}


def _kdd_subsets(params: Mapping[str, Any], least: int) -> Fields:
    size = min(params["subset_size"], least)
    return {"as": "dgm-eval", "subsets": f"{params['subsets']}x{size}", "seed": params["seed"]}


def _normalisers(params: Mapping[str, object], least: int) -> Fields:
    printed = params["fdr_normalisers"] == "printed"
    return {"norm": f"printed-{NORMALISERS_FROM}" if printed else "validation"}


def _balls(params: Mapping[str, Any], least: int) -> Fields:
    return {"k": params["k_density"], "rule": "lt"}


def _splits(params: Mapping[str, Any], least: int) -> Fields:
    seed = params["shuffle_seed"]
    return {"splits": params["splits"], "order": "kept" if seed is None else f"shuffled{seed}"}


def _nothing(params: Mapping[str, object], least: int) -> Fields:
    return {}


def _window(params: Mapping[str, object], least: int) -> Fields:
    return {"window": "gaussian11"}


def _iou(params: Mapping[str, Any], least: int) -> Fields:
    threshold = {"threshold": params["threshold"]} if "detector" in params else {}
    return {"iou": params["iou"], **threshold}


def _average(params: Mapping[str, object], least: int) -> Fields:
    return {"iou": "0.5-0.95", "recalls": 101} if "detector" in params else _iou(params, least)


def _average50(params: Mapping[str, object], least: int) -> Fields:
    return {"iou": "0.5", "recalls": 101} if "detector" in params else _iou(params, least)


def _classes(params: Mapping[str, object], least: int) -> Fields:
    """Return how many classes of data a segmenter from disk knows."""
    return {"classes": f"{params['known']}of{params['of']}"} if "known" in params else {}


def _share(tolerance: float, limit: float, noise: float) -> Gate:
    return Gate(tolerance=tolerance, limit=limit, noise=noise)


def _absolute(tolerance: float, limit: float, noise: float) -> Gate:
    return Gate(relative=False, tolerance=tolerance, limit=limit, noise=noise)


MOMENTS = Family(
    name="moments",
    compute="ldmbench.metrics.computed:moments",
    statistics=("mu", "sigma"),
    covariance=True,
)
SPATIAL = Family(
    name="spatial",
    compute="ldmbench.metrics.computed:spatial",
    needs="spatial",
    statistics=("mu_s", "sigma_s"),
    covariance=True,
)
INFINITY = Family(
    name="infinity",
    compute="ldmbench.metrics.infinity:infinity_family",
    constants={"points": 15, "seed": 2020},
    covariance=True,
)
NEIGHBOURS = Family(
    name="neighbours",
    compute="ldmbench.metrics.computed:neighbours",
    part="neighbour_count",
)
MIND = Family(
    name="mind",
    compute="ldmbench.metrics.sliced:mind_family",
    constants={"projections": 1000, "seed": 2020},
)
FDR = Family(
    name="fdr",
    compute="ldmbench.metrics.ratio:ratio_family",
    against="validation",
    spaces="fdr_extractors",
    covariance=True,
)
KDD = Family(
    name="kdd",
    compute="ldmbench.metrics.families:kdd_family",
    constants={"subsets": 100, "subset_size": 1000, "seed": 0},
    defined_on="dinov2",
)
CMMD = Family(
    name="cmmd",
    compute="ldmbench.metrics.gaussian:of_embeddings",
    needs="text",
    extractor="clip",
    zeros=False,
)
LOGITS = Family(
    name="logits",
    compute="ldmbench.metrics.families:logits_family",
    needs="logits",
    against="nothing",
)
VENDI = Family(
    name="vendi",
    compute="ldmbench.metrics.diversity:vendi_family",
    against="nothing",
    constants={"kernel": "cosine"},
    zeros=False,
)
MEMORIZATION = Family(
    name="memorization",
    compute="ldmbench.metrics.memorize:memorization_family",
    against="training",
)
CLIP = Family(
    name="clip",
    compute="ldmbench.metrics.families:clip_family",
    needs="text",
    against="caption",
    extractor="clip",
)
PAIRS = Family(
    name="pairs", compute="ldmbench.metrics.computed:pairs", needs="images", against="pair"
)
LPIPS = Family(
    name="lpips",
    compute="ldmbench.features.lpips:of_pairs",
    needs="images",
    against="pair",
    networks=Networks(
        field="lpips", files={"alex": ("alexnet", "lpips-alex"), "vgg": ("vgg16", "lpips-vgg")}
    ),
)
FEATURE_PAIRS = Family(
    name="feature_pairs",
    compute="ldmbench.metrics.computed:feature_pairs",
    against="pair",
)
INTRINSIC = Family(
    name="intrinsic",
    compute="ldmbench.metrics.intrinsic:intrinsic_family",
    needs="neighbours",
    against="latents",
)
ATTRIBUTES = Family(
    name="attributes",
    compute="ldmbench.metrics.attributes:attribute_accuracy",
    needs="logits",
    against="class",
    defined_on="shapes-net",
    shapes=True,
)
SCENES = Family(
    name="scenes",
    compute="ldmbench.metrics.layouts:scenes_family",
    needs="images",
    against="scene",
    constants={"segmenter": "shapes-seg", "iou": 0.5},
    networks=Networks(field="segmenter", files={"shapes-seg": ("shapes-seg",)}),
    shapes=True,
)

_K = Least(per=("k",), why=" (k = {most})")
_WIDE = Least(per=("k", "k_density"), why=" (k = {most})")
_TWO = Least(samples=2, reals=2)

# fmt: off
_ROWS = (
    Metric(
        name="fid", label="FID", better="lower", family=MOMENTS, source="arXiv:1706.08500",
        about="Fréchet distance between features of samples and of real images",
        least=_TWO, gate=_share(0.05, 0.15, 0.01), short="FID", rank=1, usual=True,
    ),
    Metric(
        name="sfid", label="sFID", better="lower", family=SPATIAL, source="arXiv:2103.03841",
        about="Fréchet distance between spatial features of samples and of real images",
        least=_TWO, gate=_share(0.05, 0.15, 0.01),
    ),
    Metric(
        name="fd_infinity", label="FID at infinity", better="lower", family=INFINITY,
        source="arXiv:1911.07023", about="FID extrapolated to infinitely many samples",
        least=Least(samples=20, reals=2, why=" by fd_infinity"), gate=_share(0.05, 0.15, 0.01),
    ),
    Metric(
        name="kid", label="KID", better="lower", family=NEIGHBOURS, source="arXiv:1801.01401",
        about="kernel distance between features of samples and of real images",
        fields=("kid_subsets", "kid_subset_size"), signed=_kid_subsets,
        least=_K, gate=_share(0.10, 0.30, 0.02), rank=2, usual=True,
    ),
    Metric(
        name="inception_score", label="IS", better="higher", family=LOGITS,
        source="arXiv:1606.03498",
        about="inception score: sure of each image's class, and many classes",
        fields=("splits", "shuffle_seed"), signed=_splits,
        least=Least(samples=0, reals=0, per=("splits",), why=", one for each split of inception_score"),
        gate=_share(0.03, 0.10, 0.005), short="IS", rank=5,
    ),
    Metric(
        name="precision", label="Precision", better="higher", family=NEIGHBOURS,
        source="arXiv:1904.06991", about="share of samples that fall among the real images",
        fields=("k", "rule"), least=_K, gate=_absolute(0.02, 0.10, 0.005),
        share=True, short="prec", rank=4, usual=True,
    ),
    Metric(
        name="recall", label="Recall", better="higher", family=NEIGHBOURS,
        source="arXiv:1904.06991", about="share of real images that fall among the samples",
        fields=("k", "rule"), least=_K, gate=_absolute(0.02, 0.10, 0.005),
        share=True, short="rec", rank=6, usual=True,
    ),
    Metric(
        name="density", label="Density", better="higher", family=NEIGHBOURS,
        source="arXiv:2002.09797", about="how densely real images surround the samples",
        fields=("k_density",), signed=_balls, least=_WIDE, gate=_share(0.05, 0.20, 0.01),
    ),
    Metric(
        name="coverage", label="Coverage", better="higher", family=NEIGHBOURS,
        source="arXiv:2002.09797", about="share of real images that have a sample near them",
        fields=("k_density",), signed=_balls, least=_WIDE, gate=_absolute(0.02, 0.10, 0.005),
        share=True,
    ),
    Metric(
        name="vendi_score", label="Vendi score", better="higher", family=VENDI,
        source="arXiv:2210.02410", about="how many different samples there are in effect",
        gate=_share(0.05, 0.15, 0.01),
    ),
    Metric(
        name="memorization", label="Memorization", better="lower", family=MEMORIZATION,
        source="arXiv:2004.05675",
        about="chance that a sample is nearer to the training set than an unseen image",
        gate=_absolute(0.02, 0.10, 0.005), usual=True,
    ),
    Metric(
        name="mind", label="MIND", better="lower", family=MIND, source="arXiv:2605.06797",
        about="mean Wasserstein distance of features along random directions",
        least=_TWO, gate=_share(0.05, 0.15, 0.01),
    ),
    Metric(
        name="fdr", label="FDr", better="lower", family=FDR, source="arXiv:2604.28190",
        about="Fréchet distance over that of validation images, mean over extractors",
        fields=("fdr_extractors", "fdr_normalisers"), signed=_normalisers,
        least=_TWO, gate=_share(0.05, 0.15, 0.01),
    ),
    Metric(
        name="kdd", label="KDD", better="lower", family=KDD, source="arXiv:2306.04675",
        about="kernel distance of DINOv2 features, with dgm-eval's subsets",
        signed=_kdd_subsets, least=_TWO, gate=_share(0.10, 0.30, 0.02),
    ),
    Metric(
        name="cmmd", label="CMMD", better="lower", family=CMMD, source="arXiv:2401.09603",
        about="Gaussian kernel distance of CLIP embeddings, by the CLIP model of the protocol",
        least=_TWO, gate=_share(0.10, 0.30, 0.02),
    ),
    Metric(
        name="clip_score", label="CLIP score", better="higher", family=CLIP,
        source="arXiv:2104.08718", about="100 x cosine between an image and its caption",
        gate=_absolute(0.25, 1.00, 0.05), short="CLIP", rank=3, usual=True,
    ),
    Metric(
        name="rfid", label="rFID", better="lower", family=MOMENTS, of="fid", source="",
        about="FID of reconstructions against the images they came from", least=_TWO,
        gate=_share(0.05, 0.15, 0.01), group="first stage", in_suite=False,
        charted=True,
    ),
    Metric(
        name="ifid", label="iFID", better="lower", family=MOMENTS, of="fid", interpolated=True, near=1, foretells=True,
        source="arXiv:2603.05630", least=_TWO, gate=_share(0.05, 0.15, 0.01), group="first stage",
        about="FID of images decoded half-way from their latents to near training latents",
    ),
    Metric(
        name="psnr", label="PSNR", unit="dB", better="higher", family=PAIRS, source="",
        about="peak signal-to-noise ratio of reconstructions",
        gate=_absolute(0.10, 0.50, 0.02), group="first stage", usual=True, in_suite=False,
        charted=True,
    ),
    Metric(
        name="ssim", label="SSIM", better="higher", family=PAIRS, source="Wang et al. 2004",
        about="structural similarity of reconstructions", signed=_window, smallest=11,
        gate=_absolute(0.005, 0.02, 0.001), group="first stage", usual=True, in_suite=False,
    ),
    Metric(
        name="lpips", label="LPIPS", better="lower", family=LPIPS, source="arXiv:1801.03924",
        about="perceptual distance of reconstructions", fields=("lpips",), smallest=32,
        signed=_nothing, gate=_share(0.03, 0.10, 0.005), group="first stage",
    ),
    Metric(
        name="feature_distance", label="Feature distance", better="lower", family=FEATURE_PAIRS,
        source="", about="Euclidean distance of features of reconstructions",
        gate=_share(0.05, 0.15, 0.01), group="first stage",
    ),
    Metric(
        name="intrinsic_dimension", label="Intrinsic dimension", family=INTRINSIC,
        source="Levina, Bickel 2004", group="first stage", near=3, foretells=True,
        about="dimension of the set of latents, by how fast the number of near training latents"
        " grows with the distance",
    ),
    Metric(
        name="intrinsic_scale", label="Intrinsic scale", family=INTRINSIC,
        source="Levina, Bickel 2004", group="first stage", near=3, foretells=True,
        about="distance of a latent to its 20th nearest training latent, over that of two training"
        " latents: the scale of the intrinsic dimension",
    ),
    Metric(
        name="attribute_accuracy", label="Accuracy of the class", better="higher",
        family=ATTRIBUTES, source="",
        about="share of samples that show the class that was asked for, as shapes-net reads it",
        gate=_absolute(0.02, 0.10, 0.005), share=True, short="class",
    ),
    Metric(
        name="layout_ap", label="Layout AP", better="higher", family=SCENES,
        source="arXiv:1405.0312", fields=(), signed=_average, judged="boxes",
        about="average precision of detected objects against the boxes asked for",
        gate=_absolute(0.02, 0.10, 0.005), share=True, short="AP",
    ),
    Metric(
        name="layout_ap50", label="Layout AP50", better="higher", family=SCENES,
        source="arXiv:1405.0312", fields=(), signed=_average50, judged="boxes",
        about="average precision of detected objects at an intersection over union of 0.5",
        gate=_absolute(0.02, 0.10, 0.005), share=True,
    ),
    Metric(
        name="layout_recall", label="Layout recall", better="higher", family=SCENES, source="",
        signed=_iou, judged="boxes", about="share of the boxes asked for that a detected object of its class fills",
        gate=_absolute(0.02, 0.10, 0.005), share=True,
    ),
    Metric(
        name="miou", label="mIoU", better="higher", family=SCENES, source="arXiv:1411.4038",
        signed=_classes, judged="map",
        about="mean intersection over union of the map read and the map asked for",
        gate=_absolute(0.02, 0.10, 0.005), share=True, short="mIoU",
    ),
    Metric(
        name="pixel_accuracy", label="Pixel accuracy", better="higher", family=SCENES,
        source="arXiv:1411.4038", signed=_classes, judged="map",
        about="share of pixels that are read as the class that the map asks for",
        gate=_absolute(0.02, 0.10, 0.005), share=True,
    ),
)
# fmt: on


METRICS: dict[str, Metric] = {row.name: row for row in _ROWS}
"""Every metric by name; the order is that of tables and lists."""


def _to_truth(row: Metric) -> Metric:
    """Return the score of samples against the images that their conditions were made of."""
    return replace(
        row,
        name=f"truth_{row.name}",
        label=f"{row.label} to truth",
        about=f"{row.label} to the very images that samples should come near to",
        group="quality",
        signed=row.signed if row.fields else _nothing,
        of=row.name,
    )


TRUTH: dict[str, Metric] = {
    row.name: row for row in map(_to_truth, METRICS.values()) if row.family.against == "pair"
}
"""Metrics of pairs, of samples and the images that their conditions were made of."""
SCORES: dict[str, Metric] = METRICS | TRUTH
"""Every score that a record may hold beside those of the user's own code."""
BY_RANK = tuple(
    row.name for row in sorted(SCORES.values(), key=lambda row: row.rank) if row.group == "quality"
)
"""Scores of samples; the first that was measured is the one by which figures judge quality."""
FAMILIES: dict[str, Family] = {row.family.name: row.family for row in METRICS.values()}
OF_SUITES: tuple[Against, ...] = ("class", "scene", "latents")
"""What only models of a suite are compared with: what was asked of each, training latents."""
IN_SUITE = tuple(METRICS)
"""What `metrics` of a suite may name."""
SCORABLE: dict[str, Metric] = {n: row for n, row in METRICS.items() if not row.of}
"""Every metric but those that are another one on other images."""
OF_FILES = {n: row for n, row in SCORABLE.items() if row.family.against not in OF_SUITES}
"""What `ldmbench score` may be asked for."""


RECONSTRUCTED: dict[str, Metric] = {n: row for n, row in METRICS.items() if row.of}
"""Metrics of samples under the name that they have for reconstructions."""


def metrics_of(family: str) -> tuple[Metric, ...]:
    """Return the metrics that are computed in a family, rfid and the like left out."""
    return tuple(row for row in SCORABLE.values() if row.family.name == family)


def keyed_fields(family: str) -> set[str]:
    """Return the fields of a protocol that the stage of a family is keyed by."""
    return {"confidence", *(name for row in metrics_of(family) for name in row.fields)}


def networks_of(family: Family, options: Mapping[str, object]) -> tuple[str, ...]:
    """Return the rows of WEIGHTS that a family loads beside the extractor.

    Args:
        family: of the metrics.
        options: the fields of a protocol that the family is keyed by.
    """
    networks = family.networks
    # What lies on disk of the user's own, a detector or a segmenter, is no row.
    return networks.files.get(str(options.get(networks.field)), ()) if networks else ()


def listed(rows: Iterable[Metric]) -> str:
    """Return the names of metrics as a list in a sentence: a, b and c."""
    names = [row.name for row in rows]
    return ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else names[0]


def names_against(against: Against) -> str:
    """Return the names of the metrics that compare samples with one kind of thing: a, b and c."""
    return listed(row for row in SCORABLE.values() if row.family.against == against)


def shown_as(role: str, name: str) -> str:
    """Return what a record calls a score.

    Args:
        role: of the stage in its cell, without the protocol: a family, the name of a metric that
            is another one on other images, or one that begins with truth.
        name: what the stage calls it.
    """
    if role.startswith("truth"):
        return f"truth_{name}"
    return role if role in RECONSTRUCTED else name


def truth_role(family: Family) -> str:
    """Return the role of scores of samples and the images that their conditions were made of."""
    always = any(not row.in_suite for row in metrics_of(family.name))
    return "truth" if always else f"truth-{family.name}"
