"""Arrays -> numbers: quality metrics, usable without any suite."""

from ldmbench.metrics.clip_score import clip_score
from ldmbench.metrics.frechet import frechet_distance
from ldmbench.metrics.inception_score import InceptionScore, inception_score
from ldmbench.metrics.kernel import KernelDistance, kernel_distance
from ldmbench.metrics.manifold import (
    DensityCoverage,
    PrecisionRecall,
    density_coverage,
    precision_recall,
)
from ldmbench.metrics.moments import Moments, moments
from ldmbench.metrics.paired import psnr, ssim

__all__ = [
    "DensityCoverage",
    "InceptionScore",
    "KernelDistance",
    "Moments",
    "PrecisionRecall",
    "clip_score",
    "density_coverage",
    "frechet_distance",
    "inception_score",
    "kernel_distance",
    "moments",
    "precision_recall",
    "psnr",
    "ssim",
]
