"""Arrays -> numbers: quality metrics, usable without any suite."""

from ldmbench.metrics.bootstrap import bootstrap
from ldmbench.metrics.clip_score import clip_score
from ldmbench.metrics.diversity import spatial_features, vendi_score
from ldmbench.metrics.frechet import frechet_distance
from ldmbench.metrics.gaussian import cmmd
from ldmbench.metrics.inception_score import InceptionScore, inception_score
from ldmbench.metrics.infinity import FrechetInfinity, fd_infinity
from ldmbench.metrics.kernel import KernelDistance, kdd, kernel_distance
from ldmbench.metrics.manifold import (
    DensityCoverage,
    PrecisionRecall,
    density_coverage,
    precision_recall,
)
from ldmbench.metrics.memorize import Memorization, memorization
from ldmbench.metrics.moments import Moments, moments
from ldmbench.metrics.paired import lpips, psnr, ssim
from ldmbench.metrics.ratio import fdr
from ldmbench.metrics.resample import Replicates
from ldmbench.metrics.sliced import mind

__all__ = [
    "DensityCoverage",
    "FrechetInfinity",
    "InceptionScore",
    "KernelDistance",
    "Memorization",
    "Moments",
    "PrecisionRecall",
    "Replicates",
    "bootstrap",
    "clip_score",
    "cmmd",
    "density_coverage",
    "fd_infinity",
    "fdr",
    "frechet_distance",
    "inception_score",
    "kdd",
    "kernel_distance",
    "lpips",
    "memorization",
    "mind",
    "moments",
    "precision_recall",
    "psnr",
    "spatial_features",
    "ssim",
    "vendi_score",
]
