"""Protocols as data: every pinned field says where it was read, and names what exists."""

from pathlib import Path

import pytest

from ldmbench.catalog.extractors import extractor_named
from ldmbench.schema.protocol import PINNED, Protocol
from ldmbench.suite.protocol_files import protocol_named, shipped_protocols

NAMES = {
    "ldm-2112.10752", "ldm-compression-study", "adm-2105.05233", "torch-fidelity", "clean-fid",
    "coco-30k", "edm2",
}  # fmt: skip
PUBLISHED = [name for name in shipped_protocols() if name != "shapes-v1"]


def test_the_published_protocols_are_there():
    assert set(PUBLISHED) >= NAMES


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_pinned_field_is_cited(name):
    protocol = protocol_named(name)
    assert isinstance(protocol, Protocol)
    assert not [field for field in PINNED if not protocol.cited.get(field)]
    assert not set(protocol.cited) - set(Protocol.model_fields)
    assert protocol.source
    assert all(rule.source for rule in protocol.sampling)
    assert extractor_named(protocol.extractor).logits
    assert extractor_named(protocol.clip).text


def test_rules_that_change_numbers():
    ldm, adm, clean, coco = (
        protocol_named(name)
        for name in ("ldm-2112.10752", "adm-2105.05233", "clean-fid", "coco-30k")
    )
    rules = {rule.dataset: rule for rule in ldm.sampling}
    assert (ldm.count, ldm.quantize, ldm.timesteps) == (50_000, "truncate", "compvis")
    assert rules["celebahq-256"].steps == (500,)
    assert rules["lsun-churches-256"].crop == "lsun"
    assert (adm.shuffle_seed, adm.neighbour_count) == (None, 10_000)
    assert clean.extractor == "inception-v3-clean"
    assert (coco.reference_count, coco.resolution) == (30_000, 256)


@pytest.mark.parametrize(
    ("name", "labels", "to_uint8"),
    [
        ("dit-2212.09748", "random", "round"),
        ("sit-2401.08740", "random", "round"),
        ("repa-2410.06940", "random", "truncate"),
        ("lightningdit-2501.01423", "random", "round"),
        ("ddt-2504.05741", "balanced", "round"),
        ("rae-2510.11690", "balanced", "truncate"),
        ("mar-2406.11838", "balanced", "round"),
        ("jit-2511.13720", "balanced", "round"),
    ],
)
def test_protocols_of_today_differ_in_labels_and_uint8_rule(name, labels, to_uint8):
    protocol = protocol_named(name)
    assert (protocol.classes, protocol.quantize) == (labels, to_uint8)
    assert (protocol.count, protocol.crop, protocol.reference_count) == (50_000, "adm", 1_281_167)


def test_where_torch_fidelity_itself_has_another_network_is_said():
    protocol = protocol_named("torch-fidelity")
    assert "VGG16" in protocol.about
    cited = protocol.cited["extractor"]
    assert "VGG16 unless feature_extractor='inception-v3-compat' is passed" in cited
    assert cited in Path("docs/protocols.md").read_text()


@pytest.mark.parametrize("name", shipped_protocols())
def test_every_protocol_is_documented(name):
    assert f"`{name}`" in Path("docs/protocols.md").read_text()
