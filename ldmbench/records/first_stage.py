"""What the reconstructions of a first stage say of it: its rate and its perceptual distance."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ldmbench.records.latent_spectrum import spectrum_measures, spectrum_points
from ldmbench.records.signature import source_under
from ldmbench.schema.record import Measure, SpectrumPoint
from ldmbench.schema.stage import Stage
from ldmbench.store.disk import Store
from ldmbench.store.units import units_of


def first_stage_measures(
    made: Stage, stages: Mapping[str, Stage], store: Store
) -> Iterator[Measure]:
    """Yield rate, perceptual distance, statistics of latents; entropy and use of a VQ's codes.

    Args:
        made: a reconstructions stage.
        stages: every stage of the plan, by key.
        store: where its shards are; nothing is yielded when one is missing.
    """
    bits, distances = _all(made, store, "bits.npy"), _all(made, store, "perceptual.npy")
    if bits is None or distances is None:
        return
    autoencoder = stages[made.inputs["autoencoder"].key].params
    source = source_under(stages[made.inputs["images"].key], stages)
    yield _mean("rate", bits, "bits/pixel")
    yield _mean("perceptual_distance", distances, "1")
    latents = list(_jsons(made, store, "latents.json"))
    tokens = (source.resolution // getattr(autoencoder, "f", 1)) ** 2
    if latents and latents[0]["shape"]:
        tokens = math.prod(latents[0]["shape"][1:])
    yield Measure(name="tokens", value=tokens, unit="positions", device="")
    yield from latent_measures(latents)
    spectra = _all(made, store, "spectra.npy")
    if latents and spectra is not None:
        yield from spectrum_measures(spectra, *latents[0]["shape"][1:])
    codes = _all(made, store, "codes.npy")
    if codes is not None:
        codebook = getattr(autoencoder, "codebook", None) or 0
        entropy = code_entropy(codes, codebook) * codes[0].size / source.resolution**2
        unit = "bits/pixel"
        yield Measure(name="code_entropy", value=entropy, n=len(codes), unit=unit, device="")
        if codebook:
            used = len(np.unique(codes)) / codebook
            yield Measure(name="codebook_use", value=used, n=len(codes), unit="1", device="")


def latent_spectrum(made: Stage, store: Store) -> tuple[SpectrumPoint, ...]:
    """Return the spectrum of the latents of a reconstructions stage; () where it left none."""
    shapes = [entry["shape"] for entry in _jsons(made, store, "latents.json")]
    powers = _all(made, store, "spectra.npy")
    if not shapes or powers is None:
        return ()
    return spectrum_points(powers, *shapes[0][1:])


def latent_measures(shards: Sequence[Mapping[str, Any]]) -> Iterator[Measure]:
    """Yield channels, and mean and standard deviation of latents as the first stage makes them.

    Args:
        shards: `latents.json` of each: shape, images, sums and sums of squares of each channel.
    """
    if not shards:
        return
    shape, n = shards[0]["shape"], sum(shard["n"] for shard in shards)
    each = n * math.prod(shape[1:])
    sums, squares = (np.sum([s[name] for s in shards], axis=0) for name in ("sums", "squares"))
    means, seconds = sums / each, squares / each
    stds = np.sqrt(np.maximum(seconds - means**2, 0))
    mean = float(means.mean())
    found = {
        "latent_mean": mean,
        "latent_std": math.sqrt(max(float(seconds.mean()) - mean**2, 0)),
        "latent_std_smallest": float(stds.min()),
        "latent_std_largest": float(stds.max()),
    }
    yield Measure(name="latent_channels", value=shape[0], unit="channels", device="")
    for name, value in found.items():
        yield Measure(name=name, value=value, n=n, unit="1", device="")


def code_entropy(codes: np.ndarray[Any, Any], codebook: int) -> float:
    """Return the empirical entropy of codes, bits per code: what an ideal order-0 coder spends."""
    counts = np.bincount(codes.ravel(), minlength=codebook)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def _mean(name: str, values: np.ndarray[Any, Any], unit: str) -> Measure:
    """Return a mean over images with its normal 95 % interval."""
    mean = float(values.mean())
    half = 1.96 * float(values.std(ddof=1)) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    return Measure(
        name=name,
        value=mean,
        low=mean - half,
        high=mean + half,
        n=len(values),
        unit=unit,
        device="",
    )


def _jsons(stage: Stage, store: Store, name: str) -> Iterator[dict[str, Any]]:
    """Yield a JSON file of each shard; artefacts of before it was written have none."""
    for unit in units_of(stage):
        path = store.file(unit.address, name)
        if path is not None:
            yield json.loads(path.read_text("utf-8"))


def _all(stage: Stage, store: Store, name: str) -> np.ndarray[Any, Any] | None:
    """Return the rows of one array over all shards, at most as many as were asked for."""
    parts = []
    for unit in units_of(stage):
        path = store.file(unit.address, name)
        if path is None:
            return None
        parts.append(np.load(path, allow_pickle=False))
    return np.concatenate(parts)[: stage.count]
