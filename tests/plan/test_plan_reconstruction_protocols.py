"""Protocols of reconstructions: what each pins, and what of it a plan follows."""

import pytest

from ldmbench.plan.build import build_plan
from ldmbench.suite.check import check_suite
from ldmbench.suite.load import load_suite
from ldmbench.suite.protocol_files import protocol_named

SUITE = """
suite: alone
protocol: PROTOCOL
data:
  shapes: {kind: shapes, resolution: 32, train: 64, reference: 64}
models:
  kl: {denoiser: null, autoencoder: {f: 4}}
metrics: [rfid]
probes: [device_days]
"""


def reconstructions(tmp_path, protocol, *sets):
    file = tmp_path / "suite.yaml"
    file.write_text(SUITE.replace("PROTOCOL", protocol))
    loaded = load_suite(file, sets)
    check_suite(loaded)
    (stage,) = [s for s in build_plan(loaded).stages if s.kind == "reconstructions"]
    return stage


@pytest.mark.parametrize(
    ("name", "crop", "resize", "posterior", "to_uint8", "count"),
    [
        ("rfid-va-vae", "torchvision", "tensor-linear", "sample", "round", 50_000),
        ("rfid-ifid", "torchvision", "pil-bilinear", "sample", "round", 50_000),
        ("rfid-rae", "adm", None, "mode", "truncate", 50_000),
        ("rfid-dc-ae", "adm", None, "mode", "round", 50_000),
        ("rfid-titok", "torchvision", "pil-bicubic", "mode", "round", 50_000),
        ("rfid-sd-vae", "center", "pil-bicubic", "mode", "round", 5_000),
    ],
)
def test_what_is_pinned(tmp_path, name, crop, resize, posterior, to_uint8, count):
    protocol = protocol_named(name)
    assert (protocol.crop, protocol.resize, protocol.count) == (crop, resize, count)
    assert protocol.reference_split == "validation"
    stage = reconstructions(tmp_path, name)
    assert (stage.params.posterior, stage.params.quantize) == (posterior, to_uint8)


def test_what_the_suite_says_is_kept(tmp_path):
    stage = reconstructions(
        tmp_path, "rfid-va-vae", "models.kl.autoencoder.latents=mode", "reconstruction_count=32"
    )
    assert (stage.params.posterior, stage.count) == ("mode", 32)


def test_other_protocols_leave_the_mode_and_the_rule_of_the_model(tmp_path):
    stage = reconstructions(tmp_path, "jit-2511.13720")
    assert (stage.params.posterior, stage.params.quantize, stage.count) == ("mode", "round", 64)
