"""THE TABLE: what happens to data on its way, in eleven stages.

dataset -> autoencoder -> latents -> denoiser -> samples -> features -> scores;
dataset -> contexts (captions through a frozen text encoder) -> denoiser, samples;
autoencoder + dataset -> reconstructions -> features, scores;
denoiser + autoencoder + dataset -> coding;  denoiser + autoencoder -> speed;
dataset -> features (the reference, once for all cells).
"""

from __future__ import annotations

from typing import NamedTuple

from ldmbench.schema.base import Kind
from ldmbench.schema.params import (
    CalledDenoiser,
    CalledStage,
    CoderSpeedParams,
    CodingParams,
    ContextsParams,
    DatasetParams,
    ExtractedFeatures,
    FileFeatures,
    IdentityStage,
    InterpolatedParams,
    LatentsParams,
    LoadedDenoiser,
    LoadedStage,
    NeighboursParams,
    OwnFeatures,
    OwnScoresParams,
    Params,
    ReconstructionsParams,
    SamplesParams,
    ScoresParams,
    ShippedStage,
    SpeedParams,
    TakenStage,
    TrainedDenoiser,
    TrainedStage,
    ValidationParams,
)


class StageRow(NamedTuple):
    """One stage kind.

    Attributes:
        run: "module:function", called in a worker with a Task.
        version: raised when the same parameters come to mean something else.
        sharded: outputs are committed in shards, and the key has no count.
        needs: the roles of its inputs; one in brackets may be absent.
        params: the classes of its parameters, of which its key is made.
        rooms: the packages and modules whose code makes its outputs (beside stages/<kind>.py and
            what all stages share).
    """

    run: str
    version: int
    sharded: bool
    needs: tuple[str, ...]
    params: tuple[type[Params], ...]
    rooms: tuple[str, ...]


_DATA = ("data", "sources/images", "sources/kinds")
_MODELS = ("models", "sources/models")
_MODEL = ("stages/subject.py", "stages/coder.py", "stages/truth.py")
"""How stages bring a model and its conditions into memory."""

# fmt: off
STAGES: dict[Kind, StageRow] = {
    "dataset":         StageRow("ldmbench.stages.dataset:run",         1, True,  (),                                                  (DatasetParams,),                                          _DATA),
    "autoencoder":     StageRow("ldmbench.stages.autoencoder:run",     1, False, ("[images]",),                                       (IdentityStage, ShippedStage, LoadedStage, TakenStage, CalledStage, TrainedStage),  (*_DATA, *_MODELS, "train", "features/perceptual.py", *_MODEL)),
    "latents":         StageRow("ldmbench.stages.latents:run",         1, True,  ("autoencoder", "images", "[train]"),                (NeighboursParams, LatentsParams),                         (*_DATA, *_MODELS, "sample/noise.py", "stages/latent_neighbours.py", "stages/train_latents.py", *_MODEL)),
    "contexts":        StageRow("ldmbench.stages.contexts:run",        1, True,  ("images",),                                         (ContextsParams,),                                         ("data", *_MODELS, "stages/truth.py")),
    "denoiser":        StageRow("ldmbench.stages.denoiser:run",        1, False, ("autoencoder", "images", "[latents]", "[contexts]", "[init]"),    (LoadedDenoiser, CalledDenoiser, TrainedDenoiser),         (*_DATA, *_MODELS, "train", *_MODEL)),
    "samples":         StageRow("ldmbench.stages.samples:run",         1, True,  ("autoencoder", "denoiser", "[conditions]", "[contexts]", "[guide]", "[guide_autoencoder]"), (SamplesParams,),                                          ("data/contexts.py", *_MODELS, "sample", *_MODEL)),
    "reconstructions": StageRow("ldmbench.stages.reconstructions:run", 1, True,  ("autoencoder", "images", "[train]"),                (InterpolatedParams, ReconstructionsParams),               (*_DATA, *_MODELS, "sample/noise.py", "features/perceptual.py", "stages/interpolated.py", "stages/train_latents.py", *_MODEL)),
    "features":        StageRow("ldmbench.stages.features:run",        1, True,  ("images",),                                         (FileFeatures, ExtractedFeatures, OwnFeatures),            ("features", "stages/own.py")),
    "scores":          StageRow("ldmbench.stages.scores:run",          1, False, ("generated", "[reference]", "[train]", "[asked]", "[validation]"),  (OwnScoresParams, ScoresParams),                           ("metrics", "features/lpips.py", "features/segmenter.py", "features/detector.py", "features/segmentation.py", "features/from_transformers.py", "stages/own.py", "stages/spaces.py")),
    "coding":          StageRow("ldmbench.stages.coding:run",          1, False, ("autoencoder", "denoiser", "images"),               (ValidationParams, CodingParams),                          (*_DATA, *_MODELS, "sample", "metrics/rate.py", "stages/validation.py", *_MODEL)),
    "speed":           StageRow("ldmbench.stages.speed:run",           3, False, ("autoencoder", "[denoiser]", "[conditions]", "[guide]", "[guide_autoencoder]"), (CoderSpeedParams, SpeedParams),                           (*_MODELS, "sample", "speed", "stages/samples.py", *_MODEL)),
}
# fmt: on
