"""Fields of a denoiser that its network, its objective and its preset decide on; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from ldmbench.catalog.presets import PRESETS

__all__ = [
    "HASHED_WORDS",
    "LATENT_CHANNELS",
    "OF_NETWORK",
    "OF_OBJECTIVE",
    "STAGE_MULTIPLIERS",
    "Network",
    "Objective",
    "PresetName",
    "default_multipliers",
    "fields_of_others",
    "preset_fields",
]

if TYPE_CHECKING:
    PresetName = str
else:
    PresetName = Literal[tuple(PRESETS)]

STAGE_MULTIPLIERS: dict[int, tuple[int, ...]] = {
    2: (1, 2),
    4: (1, 2, 2),
    8: (1, 1, 2, 2),
    16: (1, 1, 2, 2, 4),
    32: (1, 1, 2, 2, 4, 4),
    64: (1, 1, 2, 2, 4, 4, 4),
    128: (1, 1, 2, 2, 4, 4, 4, 4),
}
"""Widths of a first stage per level, by f."""
LATENT_CHANNELS = {1: 3, 2: 3, 4: 3, 8: 4, 16: 8, 32: 16, 64: 32, 128: 64}
"""By f, as in the paper's tables, except that f = 2 and f = 32 keep to small numbers too."""
HASHED_WORDS = 1024
"""Rows of the table of words of a caption encoder that is trained with its model."""

Network = Literal["unet", "dit"]
OF_NETWORK: dict[str, tuple[str, ...]] = {
    "unet": (
        "channels", "multipliers", "blocks", "attention_sizes", "context_channels", "inject",
        "head_channels", "transformer_depth", "scale_shift", "resblock_updown",
    ),
    "dit": ("patch", "depth", "width"),
}  # fmt: skip
"""Fields of a denoiser that only one kind of network has."""


Objective = Literal["eps", "v", "x0", "flow", "regression"]
_OF_BETAS = (
    "timesteps",
    "beta_schedule",
    "beta_start",
    "beta_end",
    "rescale_betas_zero_snr",
    "min_snr",
)
OF_OBJECTIVE: dict[Objective, tuple[str, ...]] = {
    "eps": (*_OF_BETAS, "drop_condition"),
    "v": (*_OF_BETAS, "drop_condition"),
    "x0": (*_OF_BETAS, "drop_condition"),
    "flow": ("times", "logit_mean", "logit_std", "shift", "drop_condition"),
    "regression": (),
}
"""Fields of a denoiser that only some objectives have."""


def fields_of_others(network: str, objective: Objective = "eps") -> tuple[str, ...]:
    """Return the fields of a denoiser that mean nothing for a kind of network and an objective."""
    of_networks = [f for kind, fields in OF_NETWORK.items() if kind != network for f in fields]
    of_objectives = dict.fromkeys(f for fields in OF_OBJECTIVE.values() for f in fields)
    own = OF_OBJECTIVE[objective]
    return (*of_networks, *(field for field in of_objectives if field not in own))


def default_multipliers(side: int) -> tuple[int, ...]:
    """Return widths of a UNet per level: halve down to a side of 4 at least, end at 4 x channels.

    The deepest levels hold nearly all weights, so models on latents of different f have about the
    same number of parameters, as those the paper compares (arXiv:2112.10752, table 12).

    Args:
        side: h = w of a latent.
    """
    levels = 1
    while side % 2 == 0 and side > 4:
        side //= 2
        levels += 1
    if levels == 1 and side == 4:
        return (2, 4)
    return ((1,) * 8 + (1, 2, 2, 4))[-levels:] if levels > 3 else (1, 2, 4)[-levels:]


def preset_fields(written: Mapping[str, object]) -> dict[str, object]:
    """Return the fields of a denoiser's presets that are not written; of several, the common ones.

    Args:
        written: of a denoiser; its `preset` is a name, a list of names or missing.
    """
    names = written.get("preset")
    names = names if isinstance(names, list | tuple) else [names]
    rows = [PRESETS[name].fields for name in names if name in PRESETS]
    if not rows:
        return {}
    first, *others = rows
    apart = {"heads": "head_channels", "head_channels": "heads"}
    objective = str(written.get("objective"))
    unused = {"flow": _OF_BETAS, "regression": (*_OF_BETAS, "drop_condition")}.get(objective, ())
    return {
        field: value
        for field, value in first.items()
        if field not in written
        and field not in unused
        and apart.get(field) not in written
        and all(other.get(field) == value for other in others)
    }
