"""The smallest suite that trains: a few steps of tiny networks on a few images."""

from ldmbench.plan.build import build_plan
from ldmbench.schema.weights import weights_named
from ldmbench.suite.check import check_suite
from ldmbench.suite.load import load_suite

SHAPES_NET = weights_named("shapes-net").sha256
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


def planned(folder, *sets, text=SUITE):
    """Write a suite into a folder, check it and return its plan."""
    loaded = load_suite(write_suite(folder, text), sets)
    check_suite(loaded)
    return build_plan(loaded)


SAMPLING = {"sampler": "ddim", "steps": 2, "eta": 0.0, "guidance": 1.0, "timesteps": None,
            "precision": "float32"}  # fmt: skip
SHAPES = {"kind": "shapes", "resolution": 8, "texture": "plain", "objects": 1, "seed": 0}
PARAMS = {
    "dataset": {"source": SHAPES, "split": "reference"},
    "autoencoder": {"f": 1, "resolution": 8},
    "latents": {"micro_batch": 4},
    "contexts": {"encoder": "0", "tokens": 4, "width": 8, "micro_batch": 32},
    "denoiser": {"budget": {"steps": 1}},
    "samples": {**SAMPLING, "quantize": "round", "seed": 0, "progress": 1.0, "micro_batch": 4},
    "reconstructions": {"micro_batch": 4},
    "features": {"extractor": "shapes-net", "weights": SHAPES_NET, "precision": "float32",
                 "micro_batch": 64},
    "scores": {"family": "moments", "confidence": 0.95},
    "coding": {"progress": 1.0},
    "speed": {**SAMPLING, "batch": 4, "repeats": 2},
}  # fmt: skip
"""Parameters of a stage of each kind."""
