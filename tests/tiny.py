"""The smallest suite that trains: a few steps of tiny networks on a few images."""

SUITE = """
suite: tiny
data:
  shapes: {kind: shapes, resolution: 16, train: 32, reference: 32}
models:
  pixel:
    autoencoder: {f: 1}
    denoiser: {channels: 8, context_channels: 8, batch: 4, multipliers: [1, 1], warmup: 1}
    budget: {steps: 3}
sample: {steps: [2, 3], count: 16, micro_batch: 8}
metrics: [fid, precision]
probes: [device_days]
mlflow: {enabled: false}
"""


def write_suite(folder, text=SUITE, name="tiny.yaml"):
    """Write the suite into a folder and return its path."""
    path = folder / name
    path.write_text(text)
    return path
