"""Quantities: how each score and measure is called, scaled, written and judged."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ldmbench.schema.signature import Signature

__all__ = [
    "GROUPS",
    "QUANTITIES",
    "Quantity",
    "Scale",
    "embedded_evaluators",
    "number",
    "quantity_of",
    "scale_of",
    "with_interval",
]

Better = Literal["lower", "higher"] | None

GROUPS = {
    "quality": "Quality",
    "speed": "Speed",
    "training": "Training cost",
    "first stage": "First stage",
    "other": "Other",
}
"""Column groups, in the order in which they are shown."""


@dataclass(frozen=True)
class Quantity:
    """What is known of a score or measure by its name alone."""

    name: str
    label: str
    better: Better
    group: str
    meaning: str


# fmt: off
_TABLE = (
    ("fid",                     "FID",                  "lower",   "quality"),
    ("sfid",                    "sFID",                 "lower",   "quality"),
    ("fd_infinity",             "FID at infinity",      "lower",   "quality"),
    ("kid",                     "KID",                  "lower",   "quality"),
    ("inception_score",         "IS",                   "higher",  "quality"),
    ("precision",               "Precision",            "higher",  "quality"),
    ("recall",                  "Recall",               "higher",  "quality"),
    ("density",                 "Density",              "higher",  "quality"),
    ("coverage",                "Coverage",             "higher",  "quality"),
    ("vendi_score",             "Vendi score",          "higher",  "quality"),
    ("memorization",            "Memorization",         "lower",   "quality"),
    ("clip_score",              "CLIP score",           "higher",  "quality"),
    ("truth_psnr",              "PSNR to truth",        "higher",  "quality"),
    ("truth_ssim",              "SSIM to truth",        "higher",  "quality"),
    ("truth_lpips",             "LPIPS to truth",       "lower",   "quality"),
    ("throughput",              "Throughput",           "higher",  "speed"),
    ("latency",                 "Latency",              "lower",   "speed"),
    ("latency_p95",             "Latency p95",          "lower",   "speed"),
    ("evaluations",             "Evaluations",          None,       "speed"),
    ("flops_per_image",         "FLOP/image",           "lower",   "speed"),
    ("parameters",              "Parameters",           "lower",   "speed"),
    ("autoencoder_parameters",  "Autoencoder params",   "lower",   "speed"),
    ("peak_memory",             "Peak memory",          "lower",   "speed"),
    ("energy_per_image",        "Energy/image",         "lower",   "speed"),
    ("train_flops",             "Training FLOP",        "lower",   "training"),
    ("autoencoder_train_flops", "First-stage FLOP",     None,       "training"),
    ("total_train_flops",       "Total training FLOP",  "lower",   "training"),
    ("flops_per_training_step", "FLOP/training step",   "lower",   "training"),
    ("train_steps",             "Training steps",       None,      "training"),
    ("train_images",            "Training images",      None,      "training"),
    ("train_device_days",       "Denoiser days",        "lower",   "training"),
    ("autoencoder_device_days", "Autoencoder days",     None,       "training"),
    ("total_device_days",       "Total days",           "lower",   "training"),
    ("amortised_device_days",   "Amortised days",       "lower",   "training"),
    ("v100_days",               "V100 days",            "lower",   "training"),
    ("cost",                    "Cost",                 "lower",   "training"),
    ("rfid",                    "rFID",                 "lower",   "first stage"),
    ("psnr",                    "PSNR",                 "higher",  "first stage"),
    ("ssim",                    "SSIM",                 "higher",  "first stage"),
    ("lpips",                   "LPIPS",                "lower",   "first stage"),
    ("perceptual_distance",     "Perceptual distance",  "lower",   "first stage"),
    ("rate",                    "Rate",                 "lower",   "first stage"),
    ("code_entropy",            "Code entropy",         "lower",   "first stage"),
    ("latent_scale",            "Latent scale",         None,      "first stage"),
    ("coding_rate",             "Coding rate",          None,      "other"),
    ("yardstick",               "Yardstick",            None,      "other"),
)
# fmt: on

_MEANINGS = {
    "fid": "Fréchet distance between features of samples and of real images",
    "sfid": "Fréchet distance between spatial features of samples and of real images",
    "fd_infinity": "FID extrapolated to infinitely many samples",
    "kid": "kernel distance between features of samples and of real images",
    "inception_score": "inception score: sure of each image's class, and many classes",
    "precision": "share of samples that fall among the real images",
    "recall": "share of real images that fall among the samples",
    "density": "how densely real images surround the samples",
    "coverage": "share of real images that have a sample near them",
    "vendi_score": "how many different samples there are in effect",
    "memorization": "chance that a sample is nearer to the training set than an unseen image",
    "clip_score": "100 x cosine between an image and its caption",
    "truth_psnr": "peak signal-to-noise ratio to the very images that samples should come near to",
    "truth_ssim": "structural similarity to the very images that samples should come near to",
    "truth_lpips": "perceptual distance to the very images that samples should come near to",
    "throughput": "images per second, decoding included",
    "latency": "median time to one image",
    "latency_p95": "time within which 95 % of single images are done",
    "evaluations": "network evaluations per image",
    "flops_per_image": "floating-point operations per image, 2 per multiply-add",
    "parameters": "weights that sampling needs",
    "autoencoder_parameters": "weights of the first stage",
    "peak_memory": "most memory in use while sampling",
    "energy_per_image": "energy per image",
    "train_flops": "denoiser, forward and backward",
    "autoencoder_train_flops": "first stage, forward and backward",
    "total_train_flops": "denoiser and first stage, forward and backward",
    "flops_per_training_step": "denoiser, forward and backward, one batch",
    "train_steps": "optimizer steps of the denoiser",
    "train_images": "images the denoiser saw",
    "train_device_days": "device-days of the denoiser alone",
    "autoencoder_device_days": "device-days of the first stage",
    "total_device_days": "device-days of denoiser and first stage",
    "amortised_device_days": "denoiser, and the first stage shared among its models",
    "v100_days": "total device-days in V100s, by the stated factor (A100: 2.2)",
    "cost": "total device time at the stated price",
    "rfid": "FID of reconstructions",
    "psnr": "peak signal-to-noise ratio of reconstructions",
    "ssim": "structural similarity of reconstructions",
    "lpips": "perceptual distance of reconstructions",
    "perceptual_distance": "perceptual distance of reconstructions",
    "rate": "bits of the latent per pixel of the image",
    "code_entropy": "empirical entropy of the VQ codes",
    "latent_scale": "factor that brings latents to unit variance",
    "coding_rate": "progressive coding of unseen images down to t = 0, in bits per dimension of the"
    " image; compare it between models of one first stage",
    "yardstick": "a fixed workload timed beside the measurements: how fast the machine was",
}

QUANTITIES = {row[0]: Quantity(*row, _MEANINGS[row[0]]) for row in _TABLE}  # type: ignore[arg-type,call-arg]
"""Every quantity the program measures; the order is the order of columns."""

_PREFIXES = {9: "G", 6: "M", 3: "k", 0: "", -3: "m", -6: "µ"}
_FLOP_PREFIXES = {21: "Z", 18: "E", 15: "P", 12: "T"} | _PREFIXES
_BYTES = {3: "GiB", 2: "MiB", 1: "KiB", 0: "B"}
_PREFIXED_UNITS = ("s", "J", "FLOP", "1", "")


@dataclass(frozen=True)
class Scale:
    """Stored values are divided by `divisor` and shown in `unit`."""

    divisor: float
    unit: str


def quantity_of(name: str) -> Quantity:
    """Return the quantity of this name; an unknown name is shown as it is, without a best."""
    return QUANTITIES.get(name) or Quantity(name, name, None, "other", "")


def scale_of(values: Iterable[float], unit: str) -> Scale:
    """Return one scale for a column, so that its largest value has at most four digits."""
    top = max((abs(v) for v in values), default=0.0)
    if unit == "bytes":
        power = min(3, int(math.log(top, 1024))) if top >= 1 else 0
        return Scale(1024.0**power, _BYTES[power])
    if unit not in _PREFIXED_UNITS or top == 0 or (unit in ("1", "") and top < 1e5):
        return Scale(1.0, "" if unit == "1" else unit)
    prefixes = _FLOP_PREFIXES if unit == "FLOP" else _PREFIXES
    if unit == "s":
        top /= 10  # up to ten seconds read well in ms
    power = next((p for p in prefixes if top >= 10.0**p), min(prefixes))
    if unit in ("s", "J"):
        power = min(power, 0)
    return Scale(10.0**power, prefixes[power] + ("" if unit == "1" else unit))


def number(value: float, *, digits: int = 4) -> str:
    """Write a number with `digits` significant digits and no exponent where that reads well.

    >>> number(12.34567), number(0.000123456), number(1234567.0), number(200)
    ('12.35', '0.0001235', '1234567', '200')
    """
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    magnitude = math.floor(math.log10(abs(value)))
    if magnitude < -5 or magnitude > 9:
        return f"{value:.{digits - 1}e}"
    if float(value).is_integer():
        return f"{value:.0f}"
    text = f"{value:.{max(0, digits - 1 - magnitude)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def with_interval(value: float, low: float | None, high: float | None) -> tuple[str, str]:
    """Write a value and half the width of its interval to the same decimal; '' without one.

    >>> with_interval(12.3456, 12.1, 12.6), with_interval(12.3456, None, None)
    (('12.35', '0.25'), ('12.35', ''))
    """
    if low is None or high is None:
        return number(value), ""
    half = float(f"{(high - low) / 2:.1e}")  # two digits, so that 0.09999 counts as 0.10
    if not math.isfinite(half) or half < 0:
        return number(value), ""
    if half == 0:
        return number(value), "0"
    decimals = max(0, min(8, 1 - math.floor(math.log10(half))))
    return f"{value:.{decimals}f}", f"{half:.{decimals}f}"


def embedded_evaluators(signature: str) -> tuple[str, ...]:
    """Return the embedded evaluators a signature names: their FID is not Inception FID."""
    values = (v.partition("@")[0] for v in Signature.parse(signature).fields.values())
    return tuple(sorted({v for v in values if v in ("shapes-net", "shapes-clip")}))
