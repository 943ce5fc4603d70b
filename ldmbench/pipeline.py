"""THE TABLE: what happens to data on its way, in ten stages.

dataset -> autoencoder -> latents -> denoiser -> samples -> features -> scores;
autoencoder + dataset -> reconstructions -> features, scores;
denoiser + autoencoder + dataset -> coding;  denoiser + autoencoder -> speed;
dataset -> features (the reference, once for all cells).
"""

from __future__ import annotations

from typing import NamedTuple

from ldmbench.schema.stage import Kind


class StageRow(NamedTuple):
    """One stage kind.

    Attributes:
        run: "module:function", called in a worker with a Task.
        version: raised when the same parameters come to mean something else.
        sharded: outputs are committed in shards, and the key has no count.
        needs: the roles of its inputs; one in brackets may be absent.
        rooms: the packages whose code makes its outputs (beside stages/<kind>.py).
    """

    run: str
    version: int
    sharded: bool
    needs: tuple[str, ...]
    rooms: tuple[str, ...]


# fmt: off
STAGES: dict[Kind, StageRow] = {
    "dataset":         StageRow("ldmbench.stages.dataset:run",         1, True,  (),                                            ("data",)),
    "autoencoder":     StageRow("ldmbench.stages.autoencoder:run",     1, False, ("[images]",),                                 ("data", "models", "train", "features/perceptual.py")),
    "latents":         StageRow("ldmbench.stages.latents:run",         1, True,  ("autoencoder", "images"),                     ("data", "models")),
    "denoiser":        StageRow("ldmbench.stages.denoiser:run",        1, False, ("autoencoder", "images", "[latents]"),        ("data", "models", "train")),
    "samples":         StageRow("ldmbench.stages.samples:run",         1, True,  ("autoencoder", "denoiser", "[conditions]"),   ("models", "sample")),
    "reconstructions": StageRow("ldmbench.stages.reconstructions:run", 1, True,  ("autoencoder", "images"),                     ("data", "models", "features/perceptual.py")),
    "features":        StageRow("ldmbench.stages.features:run",        1, True,  ("images",),                                   ("features",)),
    "scores":          StageRow("ldmbench.stages.scores:run",          1, False, ("generated", "[reference]", "[train]"),       ("metrics", "features/lpips.py")),
    "coding":          StageRow("ldmbench.stages.coding:run",          1, False, ("autoencoder", "denoiser", "images"),         ("data", "models", "sample")),
    "speed":           StageRow("ldmbench.stages.speed:run",           3, False, ("autoencoder", "denoiser", "[conditions]"),   ("models", "sample", "speed")),
}
# fmt: on
