"""Prints how many images of the embedded dataset one core draws in a second.

python tests/bench/bench_shapes.py [RESOLUTION] [SECONDS]
"""

import sys
import time

from ldmbench.data.shapes import render, split_indices


def images_per_second(resolution: int, texture: str, seconds: float) -> float:
    """Median over batches of 512 images (fewer at high resolution), after one to warm up."""
    size = max(8, min(512, 512 * 64 * 64 // resolution**2))
    rates, begun, start = [], time.perf_counter(), 0
    while len(rates) < 3 or time.perf_counter() - begun < seconds:
        clock = time.perf_counter()
        render(split_indices("train", start, start + size), resolution=resolution, texture=texture)
        rates.append(size / (time.perf_counter() - clock))
        start += size
    return sorted(rates[1:])[len(rates[1:]) // 2]


if __name__ == "__main__":
    resolution = int(sys.argv[1]) if len(sys.argv) > 1 else 64
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 3.0
    for texture in ("plain", "fine"):
        rate = images_per_second(resolution, texture, seconds)
        print(f"shapes {texture} {resolution} px: {rate:,.0f} images/s on one core")
