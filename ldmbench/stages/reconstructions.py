"""reconstructions: reference images through the first stage and back."""

from __future__ import annotations

import json
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from ldmbench.data.shards import write_array
from ldmbench.features.perceptual import load_perceptual
from ldmbench.models.latent_spectrum import band_powers, has_spectrum
from ldmbench.models.latent_statistics import LatentSums
from ldmbench.models.model import Model, to_uint8
from ldmbench.sample.noise import initial_noise
from ldmbench.schema.params import InterpolatedParams, ReconstructionsParams
from ldmbench.schema.task import Task
from ldmbench.stages.coder import Coder, first_stage_of
from ldmbench.stages.common import Report, chunks, images_of, to_tensor
from ldmbench.stages.interpolated import interpolate
from ldmbench.stages.train_latents import POSTERIOR_SEED

Rows: TypeAlias = npt.NDArray[np.int64]


@torch.no_grad()
def run(task: Task[ReconstructionsParams], report: Report) -> None:
    """Encode and decode one shard, with latents as they are or moved towards others."""
    if isinstance(task.params, InterpolatedParams):
        interpolate(task, task.params, report)
    else:
        reconstruct(task, report)


def reconstruct(task: Task[ReconstructionsParams], report: Report) -> None:
    """Encode and decode one shard; also perceptual distance, bits, sums and spectra of latents."""
    first_stage, sums = first_stage_of(task), LatentSums()
    images, rule = images_of(task), task.params.quantize
    perceptual = load_perceptual(device=task.device)
    made, bits, codes, distances, spectra = [], [], [], [], []
    for rows in chunks(len(images), task.params.micro_batch):
        x = to_tensor(images.images(rows), task.device)
        z = first_stage.encode(x, noise=_noise(task, first_stage, rows, x))
        decoded = first_stage.decode(z)
        sums.add(z[: len(np.unique(rows))] / first_stage.scale)
        if has_spectrum(z):
            spectra.append(band_powers(z).numpy())
        made.append(to_uint8(decoded, rule))
        distances.append(perceptual(decoded.clamp(-1, 1), x).cpu().numpy())
        rate = first_stage.rate(x)
        bits.append(rate.bits_per_pixel.numpy())
        if rate.codes is not None:
            codes.append(rate.codes.numpy())
    count = len(images)
    everything = np.arange(count)
    write_array(task.output / "images.npy", np.concatenate(made)[:count])
    write_array(task.output / "labels.npy", images.labels(everything))
    write_array(task.output / "bits.npy", np.concatenate(bits)[:count])
    write_array(task.output / "perceptual.npy", np.concatenate(distances)[:count])
    (task.output / "latents.json").write_text(json.dumps(sums.to_json()), "utf-8")
    if codes:
        write_array(task.output / "codes.npy", np.concatenate(codes)[:count])
    if spectra:
        write_array(task.output / "spectra.npy", np.concatenate(spectra)[:count])
    (task.output / "captions.json").write_text(json.dumps(images.captions(everything)), "utf-8")
    report(1.0, "")


def _noise(
    task: Task[ReconstructionsParams], first_stage: Coder, rows: Rows, x: torch.Tensor
) -> torch.Tensor | None:
    """Return noise that depends on the image's index; None where the mode is decoded."""
    if task.params.posterior == "mode" or not isinstance(first_stage, Model):
        return None
    indices = (rows + task.inputs["images"].start).tolist()
    shape = first_stage.shape_of(x.shape[2])
    return initial_noise(indices, seed=POSTERIOR_SEED, shape=shape).to(task.device)
