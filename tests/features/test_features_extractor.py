"""The interface: padded micro-batches, digests, precision, errors."""

import numpy as np
import pytest

from ldmbench.canonical import digest_file
from ldmbench.catalog.extractors import EXTRACTORS
from ldmbench.data.shapes import render
from ldmbench.errors import InputError
from ldmbench.features import load_extractor, weights_path
from ldmbench.features.extractor import Use
from ldmbench.features.shapes_net import ShapesNetExtractor


@pytest.fixture(scope="module")
def images():
    return render(np.arange(300), resolution=32).images


@pytest.fixture(scope="module")
def net():
    return load_extractor("shapes-net")


def test_layers_have_the_declared_shapes(net, images):
    found = net.extract(images[:3])
    assert tuple(found) == net.layers == ("features", "logits", "spatial")
    assert [v.shape for v in found.values()] == [(3, 70), (3, 48), (3, 128)]
    assert all(v.dtype == np.float32 for v in found.values())


def test_callers_batches_do_not_matter(net, images):
    whole = net.extract(images)
    parts = [net.extract(images[i:j]) for i, j in ((0, 1), (1, 200), (200, 300))]
    for name, values in whole.items():
        np.testing.assert_array_equal(values, np.concatenate([p[name] for p in parts]))


@pytest.mark.parametrize(
    ("count", "batch", "seen"),
    [
        (0, 64, [64]),
        (8, 64, [64]),
        (64, 64, [64]),
        (100, 64, [64, 64]),
        (20, 16, [16, 16]),
        (64, 1024, [1024]),
        (300, 128, [128, 128, 128]),
    ],
)
def test_micro_batches_have_one_size(net, images, count, batch, seen):
    """The larger batches are those of a GPU."""
    found = []

    class Counted(ShapesNetExtractor):
        def _forward(self, images):
            found.append(len(images))
            return super()._forward(images)

    one = Counted(net.spec, net.network, Use(net.digest, net.device, "float32", expected=0))
    one.batch = batch
    assert len(one.extract(images[:count])["features"]) == count
    assert found == seen


def test_order_does_not_matter(net, images):
    whole = net.extract(images)["features"]
    np.testing.assert_array_equal(net.extract(images[::-1])["features"], whole[::-1])


def test_no_images_give_empty_arrays(net, images):
    assert net.extract(images[:0])["features"].shape == (0, 70)


def test_digest_is_that_of_the_file(net):
    assert net.digest == digest_file(weights_path("shapes-net"))


def test_precision_is_declared(images):
    reduced = load_extractor("shapes-net", precision="bfloat16")
    assert reduced.precision == "bfloat16"
    a = reduced.extract(images[:8])["features"]
    b = load_extractor("shapes-net").extract(images[:8])["features"]
    assert 0 < np.abs(a - b).max() < 0.5


def test_captions_need_a_text_tower(net):
    with pytest.raises(InputError, match="shapes-clip"):
        net.extract_text(["a red circle"])


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((2, 8, 8, 3), np.float32),
        np.zeros((2, 3, 8, 8), np.uint8),
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((2, 0, 8, 3), np.uint8),
    ],
)
def test_wrong_images_are_refused(net, wrong):
    with pytest.raises(InputError, match="images"):
        net.extract(wrong)


def test_wrong_names_are_refused(tmp_path):
    with pytest.raises(InputError, match="did you mean 'shapes-net'"):
        load_extractor("shape-net")
    with pytest.raises(InputError, match="float32"):
        load_extractor("shapes-net", precision="float8")
    with pytest.raises(InputError, match="is no file"):
        load_extractor("shapes-net", path=tmp_path / "absent.safetensors")


def test_weights_of_another_network_are_refused():
    with pytest.raises(InputError, match="another network"):
        load_extractor("shapes-net", path=weights_path("shapes-clip"))


def test_missing_weights_fail_closed(weights_home):
    for row in EXTRACTORS.values():
        if not row.name.startswith("shapes"):
            with pytest.raises(InputError, match=r"sha256|import FILE --as"):
                load_extractor(row.name)
