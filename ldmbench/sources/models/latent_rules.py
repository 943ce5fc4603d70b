"""How latents of a first stage on disk become those that a denoiser sees; no torch.

Plan and loader read the rule here: what configs say, and what is taken where they do not say it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ldmbench.errors import InputError
from ldmbench.schema.models import LatentRule
from ldmbench.sources.models.stage_sizes import fixed_side

__all__ = ["checkpoint_rule", "folder_rule"]

_MEASURED = (
    "{} states no scale: 1 / the standard deviation of latents of training images is taken, as"
    " arXiv:2112.10752 does (Appendix G); autoencoder.scale states another"
)
_UNSCALED = "{} states no scale: 1 is taken, as CompVis' LDMs on a VQ do; autoencoder.scale states"
_UNSCALED += " another"
_OWN_SCALE = "{} states no scale: 1 is taken, the default of its class; autoencoder.scale states"
_OWN_SCALE += " another"
_STATED_BY_CLASS = ("AutoencoderKLQwenImage",)
"""Classes whose latents are normalised by statistics that a config must state."""


def checkpoint_rule(
    kind: str, *, f: int, channels: int, path: Path, whole: bool = False, scale: float | None = None
) -> LatentRule | None:
    """Return the rule of a CompVis checkpoint; None where it works on pixels.

    Args:
        kind: of its first stage.
        f: downsampling factor.
        channels: of a latent.
        path: its file.
        whole: whether its scale is known: of a whole model, or where statistics lie beside it.
        scale: the one that is known; None where the weights of the whole model say it.
    """
    if kind == "pixel":
        return None
    if whole:
        by: Literal["files", "weights"] = "weights" if scale is None else "files"
        return LatentRule(channels=channels, f=f, scale=scale, scaled_by=by)
    return _unstated(kind, f=f, channels=channels, where=path.name)


def folder_rule(
    config: Mapping[str, Any],
    card: Mapping[str, Any],
    *,
    kind: str,
    f: int,
    channels: int,
    model_scale: float | None,
    root: Path,
) -> LatentRule | None:
    """Return the rule of a diffusers folder; None where it works on pixels.

    Args:
        config: of its first stage.
        card: ldmbench.json, empty where there is none.
        kind: of the first stage.
        f: downsampling factor of its network.
        channels: of its network's latents.
        model_scale: of a whole model, or of one that ldmbench wrote; None of a network alone.
        root: the folder, said in messages.

    Raises:
        InputError: its statistics are not one number for each channel.
    """
    if kind == "pixel":
        return None
    if "latents" in card:
        return LatentRule.model_validate(card["latents"])
    if "latent_rule" in card:
        return LatentRule.model_validate(card["latent_rule"])
    if model_scale is not None:
        return LatentRule(channels=channels, f=f, scale=model_scale)
    where, name = f"{root.name}/config.json", config["_class_name"]
    if name == "AutoencoderRAE":  # statistics and scale are inside its network
        return LatentRule(channels=channels, f=f, scale=1.0, side=fixed_side(config))
    if name == "AutoencoderKLFlux2":  # its statistics lie among the weights
        patch = _patch(config)
        return LatentRule(channels=channels * patch**2, f=f * patch, scale=1.0, patch=patch)
    mean = _listed(config, "latents_mean", channels, where)
    std = _listed(config, "latents_std", channels, where)
    if bool(mean) != bool(std):
        raise InputError(f"{where} has one of latents_mean and latents_std; needed are both")
    if not std and name in _STATED_BY_CLASS:
        raise InputError(
            f"{where} states neither latents_mean nor latents_std, by which latents of {name} are"
            " normalised; write both into it"
        )
    if any(value <= 0 for value in std):
        raise InputError(f"{where}: latents_std holds {min(std):g}; allowed are numbers above 0")
    if mean and config.get("shift_factor"):
        raise InputError(
            f"{where} states shift_factor and latents_mean, and only one of them can be subtracted;"
            " take the other out"
        )
    scale = config.get("scaling_factor", 1.0 if std else None)
    if scale is None:
        rule = _unstated(kind, f=f, channels=channels, where=where)
    else:
        rule = LatentRule(channels=channels, f=f, scale=float(scale))
    shift = float(config.get("shift_factor") or 0)
    shifts = (shift,) if shift else ()
    return rule.model_copy(update={"mean": mean or shifts, "std": std})


def _patch(config: Mapping[str, Any]) -> int:
    found = config.get("patch_size") or 2
    return int(found[0] if isinstance(found, list | tuple) else found)


def _unstated(kind: str, *, f: int, channels: int, where: str) -> LatentRule:
    """Return the rule of a first stage that states no scale."""
    if kind == "kl":
        measured = (_MEASURED.format(where),)
        return LatentRule(channels=channels, f=f, scale=None, scaled_by="images", assumed=measured)
    said = ((_UNSCALED if kind == "vq" else _OWN_SCALE).format(where),)
    return LatentRule(channels=channels, f=f, scale=1.0, assumed=said)


def _listed(config: Mapping[str, Any], name: str, channels: int, where: str) -> tuple[float, ...]:
    """Return the numbers of a field, one for each channel; none where it is not stated."""
    found = config.get(name)
    if found is None:
        return ()
    if len(found) != channels or any(isinstance(value, list | tuple) for value in found):
        raise InputError(
            f"{where}: {name} is a list of {len(found)}; allowed: {channels} numbers, one for each"
            " channel of latents"
        )
    return tuple(float(value) for value in found)
