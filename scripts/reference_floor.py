"""What an FID by shapes-net lies between: halves of the reference, and pure noise.

    python scripts/reference_floor.py --resolution 32 --objects 1

Prints FID(half, other half) of 2 x 1024 reference images and FID(noise, reference) of 512.
"""

from __future__ import annotations

import click
import numpy as np

from ldmbench.data.shapes import render, split_indices
from ldmbench.features.extractor import load_extractor
from ldmbench.metrics.families import moments_family
from ldmbench.seeds import derive_seed


@click.command()
@click.option("--resolution", default=32, show_default=True)
@click.option("--objects", default=1, show_default=True)
@click.option("--count", default=2048, show_default=True, help="reference images")
def main(resolution: int, objects: int, count: int) -> None:
    """Print the floor and the ceiling."""
    net = load_extractor("shapes-net")
    indices = split_indices("reference", 0, count)
    real = render(indices, resolution=resolution, objects=(1, objects)).images
    rng = np.random.default_rng(derive_seed("floor", 0))
    noise = rng.integers(0, 256, (512, *real.shape[1:]), dtype=np.uint8)
    features, of_noise = net.extract(real)["features"], net.extract(noise)["features"]
    half = count // 2
    for name, pair in {
        f"halves of the reference, {half} against {half}": (features[:half], features[half:]),
        f"512 reference images against {count}": (features[:512], features),
        f"noise, 512 against {count}": (of_noise, features),
    }.items():
        found = moments_family(*pair)["fid"]
        click.echo(f"{name}: FID {found.value:.3f} [{found.low:.3f}, {found.high:.3f}]")


if __name__ == "__main__":
    main()
