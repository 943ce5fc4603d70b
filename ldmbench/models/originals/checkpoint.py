"""DiT, SiT, REPA and LightningDiT: the network, its first stage and how latents are normalised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from ldmbench.errors import InputError
from ldmbench.models.conditions import ClassLabels
from ldmbench.models.files import blank
from ldmbench.models.first_stage import Absent, FirstStage, Normalised
from ldmbench.models.model import Model, info_of
from ldmbench.models.originals.network import ModulatedTransformer2DModel
from ldmbench.models.weights import fill
from ldmbench.schema.models import LatentRule
from ldmbench.sources.models.hub import snapshot
from ldmbench.sources.models.originals import Original, read_original
from ldmbench.sources.models.peek import describe_original, original_digest
from ldmbench.tensors.entries import open_weights
from ldmbench.tensors.read import fetch

__all__ = ["load_original"]


def load_original(
    path: Path,
    *,
    config: Path | str | Mapping[str, object] | None = None,
    ema: bool = True,
    ignore: Sequence[str] = (),
) -> Model:
    """Load a checkpoint of one of the four repositories; nothing of it is run.

    Args:
        path: the checkpoint.
        config: see `read_original`.
        ema: take averaged weights where the checkpoint has them.
        ignore: patterns of tensors' names to leave out.

    Raises:
        InputError: see `read_original`; or weights that do not fit together.
    """
    found = read_original(path, config=config, ema=ema, ignore=ignore)
    facts = describe_original(found)
    network = blank(lambda: ModulatedTransformer2DModel(**found.network))
    fill(network, fetch(path, found.held.slots), {}, where=str(path))
    stage, scale = _stage(found)
    side = int(found.network["sample_size"])
    info = info_of(
        facts,
        path=path,
        digest=original_digest(found),
        latent_shape=(int(found.network["in_channels"]), side, side),
        schedule=found.schedule,
        flow=found.flow,
        scale=scale,
        guided_channels=facts.guided_channels,
        guidance_interval=found.interval,
    )
    condition = ClassLabels(int(found.network["num_embeds_ada_norm"]), null_class=found.null_class)
    network = network.eval().requires_grad_(False)
    return Model(info, stage, network=network, condition=condition)


def _stage(found: Original) -> tuple[FirstStage, float]:
    """Return the first stage, and the one number that its latents are multiplied by."""
    mean, std, scale = _rule(found)
    if found.stage is None:
        return Absent(found.lacks), scale
    from ldmbench.models.loader import load

    place = found.stage if isinstance(found.stage, Path) else snapshot(found.stage)
    inner = load(place, config=found.stage_config)
    wanted, channels = int(found.network["in_channels"]), inner.info.latent_shape[0]
    if channels != wanted:
        raise InputError(
            f"{found.file}: its first stage {place} has latents of {channels} channels, but the"
            f" network takes {wanted}; name the first stage that it was trained on"
        )
    if not mean:
        return inner.first_stage, scale
    rule = LatentRule(channels=channels, f=inner.info.f, scale=scale, mean=mean, std=std)
    return Normalised(inner.first_stage, rule), scale


def _rule(found: Original) -> tuple[tuple[float, ...], tuple[float, ...], float]:
    """Return what is subtracted from latents, what divides them, and the scale after that."""
    channels, scale, bias = int(found.network["in_channels"]), found.scale, found.bias
    if found.stats is not None:
        stored = fetch(found.stats, open_weights(found.stats).slots)
        if not {"mean", "std"} <= set(stored):
            raise InputError(f"{found.stats} holds {', '.join(stored)}; needed are mean and std")
        mean, std = (_listed(stored[name], channels, found.stats) for name in ("mean", "std"))
        assert isinstance(scale, float)
        return mean, std, scale
    if isinstance(scale, float) and not bias:
        return (), (), scale
    scales = scale if isinstance(scale, tuple) else (scale,) * channels
    biases = bias if isinstance(bias, tuple) else (bias,) * channels
    if not len(scales) == len(biases) == channels or 0 in scales:
        raise InputError(
            f"{found.file}: its config scales latents by {len(scales)} numbers and moves them by"
            f" {len(biases)}; needed are {channels}, one for each channel, and no scale of 0"
        )
    mean = tuple(-b / s for b, s in zip(biases, scales, strict=True))
    return mean, tuple(1 / s for s in scales), 1.0


def _listed(values: Tensor, channels: int, where: Path) -> tuple[float, ...]:
    if values.numel() != channels:
        raise InputError(f"{where} has {values.numel()} numbers; needed are {channels}")
    return tuple(float(v) for v in values.flatten())
