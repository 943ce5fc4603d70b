"""Rules: which way each measure is better, what loss is accepted, what must not go unseen."""

from __future__ import annotations

from collections.abc import Mapping

from ldmbench.registry import pick
from ldmbench.schema.baseline import Rule, RuleChange

__all__ = ["ANYWHERE", "RULES", "rules_with"]


def _share(better: str, tolerance: float, limit: float, noise: float) -> Rule:
    return Rule.model_validate(
        {"better": better, "by": "difference", "tolerance": tolerance, "limit": limit}
        | {"noise": noise}
    )


def _absolute(better: str, tolerance: float, limit: float, noise: float) -> Rule:
    return _share(better, tolerance, limit, noise).model_copy(update={"relative": False})


def _timed(better: str) -> Rule:
    return Rule.model_validate(
        {"better": better, "by": "ratio", "tolerance": 0.03, "limit": 0.10, "noise": 0.005}
    )


_COUNTED = Rule(by="exact")

# fmt: off
RULES: dict[str, Rule] = {
    #                            better    tolerance limit  noise
    "fid":                _share("lower",   0.05,    0.15,  0.01),
    "sfid":               _share("lower",   0.05,    0.15,  0.01),
    "fd_infinity":        _share("lower",   0.05,    0.15,  0.01),
    "vendi_score":        _share("higher",  0.05,    0.15,  0.01),
    "memorization":    _absolute("lower",   0.02,    0.10,  0.005),
    "kid":                _share("lower",   0.10,    0.30,  0.02),
    "inception_score":    _share("higher",  0.03,    0.10,  0.005),
    "precision":       _absolute("higher",  0.02,    0.10,  0.005),
    "recall":          _absolute("higher",  0.02,    0.10,  0.005),
    "density":            _share("higher",  0.05,    0.20,  0.01),
    "coverage":        _absolute("higher",  0.02,    0.10,  0.005),
    "clip_score":      _absolute("higher",  0.25,    1.00,  0.05),
    "rfid":               _share("lower",   0.05,    0.15,  0.01),
    "psnr":            _absolute("higher",  0.10,    0.50,  0.02),
    "ssim":            _absolute("higher",  0.005,   0.02,  0.001),
    "lpips":              _share("lower",   0.03,    0.10,  0.005),
    "perceptual_distance": _share("lower",  0.03,    0.10,  0.005),
    "truth_psnr":      _absolute("higher",  0.10,    0.50,  0.02),
    "truth_ssim":      _absolute("higher",  0.005,   0.02,  0.001),
    "truth_lpips":        _share("lower",   0.03,    0.10,  0.005),
    "rate":               _share("lower",   0.01,    0.05,  0.002),
    "coding_rate":        _share("lower",   0.02,    0.10,  0.005),
    "throughput":         _timed("higher"),
    "latency":            _timed("lower"),
    "flops_per_image":         _COUNTED,
    "flops_per_training_step": _COUNTED,
    "evaluations":             _COUNTED,
    "parameters":              _COUNTED,
    "autoencoder_parameters":  _COUNTED,
    "peak_memory":             Rule(by="exact", tolerance=0.01),
}
# fmt: on
"""The built-in rules. What is not named here is watched: recorded, never judged."""

ANYWHERE = frozenset(
    {
        "flops_per_image", "flops_per_training_step", "evaluations", "parameters",
        "autoencoder_parameters", "train_flops", "train_steps", "train_images", "rate",
        "coding_rate", "perceptual_distance", "code_entropy", "latent_scale",
    }
)  # fmt: skip
"""Measures that no device changes; all others are compared with those of the same device alone."""


def rules_with(changes: Mapping[str, RuleChange]) -> dict[str, Rule]:
    """Return the built-in rules with those of a baseline laid over them.

    Raises:
        InputError: if a change names no measure, with the nearest name.
    """
    found = dict(RULES)
    known = RULES | {name: Rule() for name in _WATCHED}
    for name, change in changes.items():
        rule = pick(known, name, "measure in the baseline's rules")
        found[name] = rule.model_copy(update=change.model_dump(exclude_none=True))
    return found


_WATCHED = (
    "latency_p95",
    "energy_per_image",
    "train_flops",
    "autoencoder_train_flops",
    "total_train_flops",
    "train_steps",
    "train_images",
    "train_device_days",
    "autoencoder_device_days",
    "total_device_days",
    "amortised_device_days",
    "v100_days",
    "cost",
    "code_entropy",
    "latent_scale",
    "yardstick",
)
