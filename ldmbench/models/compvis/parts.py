"""The parts of a CompVis checkpoint besides networks: averages and buffers."""

from __future__ import annotations

from ldmbench.errors import InputError
from ldmbench.models.weights import Tensors

__all__ = ["check_parts"]

_TOP = ("model.diffusion_model.", "model_ema.", "first_stage_model.", "cond_stage_model.")
_BUFFERS = frozenset(
    {
        "betas",
        "alphas_cumprod",
        "alphas_cumprod_prev",
        "sqrt_alphas_cumprod",
        "sqrt_one_minus_alphas_cumprod",
        "log_one_minus_alphas_cumprod",
        "sqrt_recip_alphas_cumprod",
        "sqrt_recipm1_alphas_cumprod",
        "posterior_variance",
        "posterior_log_variance_clipped",
        "posterior_mean_coef1",
        "posterior_mean_coef2",
        "lvlb_weights",
        "logvar",
        "scale_factor",
        "cond_ids",
    }
)


def check_parts(tensors: Tensors, *, where: str) -> None:
    """Refuse keys that belong to no part of a latent diffusion model."""
    extra = [k for k in tensors if not k.startswith(_TOP) and k not in _BUFFERS]
    if extra:
        raise InputError(
            f"{where}: {len(extra)} keys not asked for, they belong to no part of a latent "
            f"diffusion model ({', '.join(extra[:3])}); where only training reads them, "
            f"`ignore: ['{extra[0]}']` leaves them out (* stands for anything)"
        )
