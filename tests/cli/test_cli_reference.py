"""`ldmbench reference`: built by the stages of a run, listed, verified, and scored against."""

import json

import numpy as np
import pytest
from PIL import Image

from ldmbench.canonical import digest_file
from ldmbench.cli import outcome
from ldmbench.schema.reference import Reference
from ldmbench.schema.weights import extractor_named

WIDTH = extractor_named("shapes-net").dim


def write_images(folder, seed, count=20, suffix="png"):
    folder.mkdir()
    for i in range(count):
        array = np.random.default_rng((seed, i)).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(array).save(folder / f"{i:03d}.{suffix}")
    return folder


@pytest.fixture
def written(tmp_path):
    """A reference as `build` writes it, without running a network."""
    rows = np.random.default_rng(0).normal(size=(30, WIDTH)).astype(np.float32)
    exact = rows.astype(np.float64)
    file = tmp_path / "real.npz"
    np.savez(file, features=rows, mu=exact.mean(0), sigma=np.cov(exact, rowvar=False))
    about = Reference(
        title="real", protocol="shapes-v1", extractor="shapes-net", weights="ab" * 32,
        resolution=16, crop="none", resize="pil-bicubic", count=30, width=WIDTH,
        source_digest="x", images={"a.png": "y"}, sha256=digest_file(file),
    )  # fmt: skip
    file.with_suffix(".json").write_text(about.model_dump_json())
    return file


def test_list_and_verify(written, capsys):
    assert outcome(["reference", "list", str(written.parent), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["count"], row["extractor"], row["crop"]) == (30, "shapes-net", "none")
    assert outcome(["reference", "verify", str(written)]) == 0
    assert "as it was built" in capsys.readouterr().out


def test_a_changed_file_is_found(written, capsys):
    np.savez(written, features=np.zeros((30, WIDTH), np.float32))
    assert outcome(["reference", "verify", str(written)]) == 2
    assert "sha256 differs" in capsys.readouterr().err


def test_images_that_differ_are_named(written, tmp_path, capsys):
    images = write_images(tmp_path / "images", 0)
    assert outcome(["reference", "verify", str(written), "--images", str(images)]) == 2
    assert "1 missing, such as a.png" in capsys.readouterr().err


def test_other_weights_and_other_resolutions_are_refused(written, tmp_path, capsys):
    images = write_images(tmp_path / "images", 0)
    assert outcome(["score", str(images), "--reference", str(written)]) == 2
    assert "feat is shapes-net@" in capsys.readouterr().err
    about = json.loads(written.with_suffix(".json").read_text())
    written.with_suffix(".json").write_text(json.dumps({**about, "resolution": 64}))
    assert outcome(["score", str(images), "--reference", str(written)]) == 2
    assert "samples are 16 x 16 pixels" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build", "nothing", "-o", "x.npz"], "no such folder or file"),
        (["build", "nothing", "-o", "x.pkl"], "ends in .npz"),
        (["build", "nothing"], "Missing option"),
        (["verify", "nothing.npz"], "no such file"),
        (["list", "nothing"], "no such folder"),
    ],
)
def test_mistakes_are_one_sentence(arguments, message, capsys):
    assert outcome(["reference", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_a_built_reference_gives_the_numbers_of_its_images(tmp_path, capsys):
    real, made = (
        write_images(tmp_path / "real", 0),
        write_images(tmp_path / "made", 1, suffix="jpg"),
    )
    file = tmp_path / "reference.npz"
    assert outcome(["reference", "build", str(real), "-o", str(file), "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert (about["count"], about["protocol"]) == (20, "shapes-v1")
    assert outcome(["reference", "verify", str(file), "--images", str(real)]) == 0
    capsys.readouterr()
    values = []
    for reference in (real, file):
        code = outcome(
            ["score", str(made), "--reference", str(reference), "--metrics", "fid", "--json"]
        )
        assert code == 0
        found = json.loads(capsys.readouterr().out)
        (score,) = found["scores"]
        values.append((score["value"], score["low"], score["signature"]))
        assert any("lossy" in text for text in found["warnings"])
    assert values[0] == values[1]


@pytest.mark.slow
def test_a_reference_of_two_images(tmp_path):
    """No metric that is made on the way asks for more than moments need."""
    real, file = write_images(tmp_path / "real", 0, count=2), tmp_path / "r.npz"
    assert outcome(["reference", "build", str(real), "-o", str(file)]) == 0
    assert outcome(["reference", "verify", str(file)]) == 0
    assert outcome(["score", str(real), "--reference", str(file), "--metrics", "fid"]) == 0
