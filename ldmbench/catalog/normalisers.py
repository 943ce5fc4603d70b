"""Normalisers of FDr as printed: Fréchet distances of ImageNet's validation images.

Of the 50,000 validation images at 256 px (ADM's crop) against statistics of the training set, in
Inception against ADM's own statistics; rounded as printed, MAE's to one digit (+-12 %).
"""

from __future__ import annotations

from collections.abc import Mapping

NORMALISERS_FROM = "2604.28190"
"""The paper, arXiv; the numbers stand in its code, Jiawei-Yang/FD-loss@5c03b81."""
NORMALISER_SIDE = 256
NORMALISERS: Mapping[str, float] = {
    "inception-v3-compat": 1.68,
    "convnextv2-base-fd-loss": 56.87,
    "dinov2-vit-l-14-fd-loss": 14.19,
    "mae-vit-l-16-fd-loss": 0.04,
    "siglip2-so400m-16-fd-loss": 0.60,
    "clip-vit-l-14-fd-loss": 5.60,
}
"""Extractor -> distance; FDr6 is the mean over all six."""
