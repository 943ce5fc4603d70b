"""`ldmbench reference`: built by the stages of a run, listed, verified, and scored against."""

import importlib
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from ldmbench.canonical import digest_file
from ldmbench.catalog.extractors import extractor_named
from ldmbench.cli import outcome
from ldmbench.errors import InputError
from ldmbench.plan.build import build_plan
from ldmbench.plan.score import build_score_plan
from ldmbench.schema.reference import Reference
from ldmbench.scoring.sides import read_side, ruled
from ldmbench.suite.load import load_suite
from ldmbench.suite.protocol_files import protocol_named

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


@pytest.mark.parametrize("other", ['{"lr": 0.1}', "[1, 2]", "no JSON", "", "[" * 99_999])
def test_another_json_beside_features_is_left_alone(tmp_path, other):
    file = tmp_path / "feats.npz"
    np.savez(file, features=np.ones((20, 6), np.float32))
    file.with_suffix(".json").write_text(other)
    assert read_side(str(file), protocol_named("shapes-v1"), store=tmp_path).provenance is None


def test_a_damaged_reference_is_refused_and_the_others_listed(written, capsys):
    good = shutil.copy(written, written.with_name("zz.npz"))
    text = written.with_suffix(".json").read_text()
    written.with_name("zz.json").write_text(text)
    for damaged in (text[:200], text.replace("shapes-v1", "\x00"), '{"sha256": "0"}'):
        written.with_suffix(".json").write_text(damaged)
        assert outcome(["score", str(good), "--reference", str(written)]) == 2
        assert "real.json: no provenance" in capsys.readouterr().err
        assert outcome(["reference", "list", str(written.parent), "--json"]) == 0
        shown = capsys.readouterr()
        assert [row["reference"] for row in json.loads(shown.out)] == [str(good)]
        assert "warning: " in shown.err
        assert "real.json: no provenance" in shown.err


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


# ---------------------------------------------------------------- photos of mixed sizes

SUITE = """
suite: demo
protocol: PROTOCOL
data:
  DATASET: {kind: folder, path: photos, resolution: 24, validation: 0}
models:
  ldm: {autoencoder: {f: 4}, denoiser: {conditioning: none}, budget: {steps: 5}}
metrics: [fid]
probes: [device_days]
"""


def write_photos(folder, count=4):
    folder.mkdir()
    for i in range(count):
        array = np.random.default_rng(i).integers(0, 256, (32 + i, 40, 3), dtype=np.uint8)
        Image.fromarray(array).save(folder / f"{i}.png")
    return folder


@pytest.mark.parametrize(
    ("protocol", "dataset", "rule"),
    [
        ("adm-2105.05233", None, ("adm", "pil-bicubic")),
        ("edm2", None, ("adm", "pil-bicubic")),
        ("ldm-2112.10752", "lsun-churches-256", ("lsun", "pil-bicubic")),
        ("ldm-2112.10752", "ffhq-256", ("shortest", "linear")),
    ],
)
def test_photos_are_prepared_as_a_suite_prepares_them(tmp_path, protocol, dataset, rule):
    photos = write_photos(tmp_path / "photos")
    named = ruled(protocol_named(protocol), dataset)
    source = read_side(str(photos), named, store=tmp_path, side=24).source
    assert source.source.preparation == rule
    mine = build_score_plan(source, source, named, metrics=["fid"])
    text = SUITE.replace("PROTOCOL", protocol).replace("DATASET", dataset or "photos")
    (tmp_path / "suite.yaml").write_text(text)
    theirs = build_plan(load_suite(tmp_path / "suite.yaml"))
    for kind in ("dataset", "features"):  # the same images and features, so the same signature
        (params,) = (stage.params for stage in mine.stages if stage.kind == kind)
        assert params in [stage.params for stage in theirs.stages if stage.kind == kind]


def test_a_rule_of_a_dataset_counts_real_images_too():
    ldm = protocol_named("ldm-2112.10752")
    assert ruled(ldm, "ffhq-256").reference_count == 60_000
    assert ruled(ldm, "openimages-256").reference_count == 2_048  # what stands before a bracket
    assert ruled(ldm, None) is ldm
    with pytest.raises(InputError, match=r"did you mean 'ffhq-256'.*lsun-churches-256"):
        ruled(ldm, "ffhq")
    with pytest.raises(InputError, match="shapes-v1 has no rules"):
        ruled(protocol_named("shapes-v1"), "ffhq")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--protocol", "adm-2105.05233"], "say --resolution N, to which adm-2105.05233 crops"),
        (["--protocol", "ldm-2112.10752"], "which --dataset of ldm-2112.10752 they are: celebahq"),
        (["--protocol", "clean-fid"], "name a --protocol that crops"),
        (["--protocol", "clean-fid", "--resolution", "24"], "expected 24 x 24"),
        (["--protocol", "adm-2105.05233", "--resolution", "33"], "1 of 4 images are smaller than"),
        (["--protocol", "adm-2105.05233", "--resolution", "4"], "8<=x<=2048"),
        (["--protocol", "ldm-2112.10752", "--dataset", "lsun"], "unknown dataset of ldm-2112"),
    ],
)
def test_photos_that_cannot_be_prepared(tmp_path, capsys, arguments, message):
    photos, file = write_photos(tmp_path / "photos"), tmp_path / "x.npz"
    assert outcome(["reference", "build", str(photos), "-o", str(file), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_the_size_of_samples_is_theirs_unless_nothing_tells_it(tmp_path):
    adm = protocol_named("adm-2105.05233")
    photos = str(write_photos(tmp_path / "photos"))
    square = str(write_images(tmp_path / "square", 0))
    sizes = [
        read_side(path, adm, store=tmp_path, raw=24).source.source.resolution
        for path in (photos, square)
    ]
    assert sizes == [24, 16]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["real.npz"], f"2048 features a sample, real.npz {WIDTH}"),  # of one size, then
        (["shapes:16:32"], "weights-inception-2015-12-05"),  # likewise; weights are missing
        (["real.npz", "--resolution", "24"], "samples are 24 x 24 pixels, real.npz 16 x 16"),
        (["shapes:16:32", "--resolution", "24"], "samples are 24 x 24 pixels, shapes:16:32 16 x"),
        (["photos"], "say --resolution N, to which adm-2105.05233 crops"),
        (["nothing.npz"], "nothing.npz: no such folder or file"),
    ],
)
def test_samples_are_brought_to_the_size_of_a_reference(
    written, tmp_path, monkeypatch, capsys, arguments, message
):
    assert written.parent == tmp_path
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LDMBENCH_OFFLINE", "1")
    monkeypatch.setenv("LDMBENCH_WEIGHTS", str(tmp_path / "weights"))
    write_photos(tmp_path / "photos")
    more = ["--protocol", "adm-2105.05233", "--metrics", "fid"]
    assert outcome(["score", "photos", "--reference", *arguments, *more]) == 2
    assert message in capsys.readouterr().err


def test_photos_of_a_reference_are_verified(written, tmp_path, capsys):
    photos = write_photos(tmp_path / "photos")
    about = json.loads(written.with_suffix(".json").read_text())
    images = {file.name: digest_file(file) for file in photos.iterdir()}
    about |= {"resolution": 24, "crop": "lsun", "protocol": "ldm-2112.10752", "images": images}
    written.with_suffix(".json").write_text(json.dumps(about))
    assert outcome(["reference", "verify", str(written), "--images", str(photos)]) == 0
    assert "as it was built" in capsys.readouterr().out


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
def test_metrics_of_neighbours_name_the_images_they_are_held_to(tmp_path, monkeypatch, capsys):
    protocol = protocol_named("shapes-v1").model_copy(update={"neighbour_count": 64})
    for module in ("ldmbench.cli.reference", "ldmbench.scoring.request"):
        monkeypatch.setattr(importlib.import_module(module), "protocol_named", lambda _: protocol)
    monkeypatch.setattr("ldmbench.plan.score.DATASET_SHARD", 64)
    real, made = write_images(tmp_path / "real", 0, count=70), write_images(tmp_path / "made", 1)
    file, found = tmp_path / "reference.npz", []
    assert outcome(["reference", "build", str(real), "-o", str(file), "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert about["neighbours"] == 64
    assert about["neighbours_ref"] != about["ref"]
    for reference in (real, file):
        asked = ["--reference", str(reference), "--metrics", "fid,kid,precision", "--json"]
        assert outcome(["score", str(made), *asked]) == 0
        scores = json.loads(capsys.readouterr().out)["scores"]
        found.append({s["name"]: (s["value"], s["signature"]) for s in scores})
    assert found[0] == found[1]
    for name, ref in (("fid", about["ref"]), ("kid", about["neighbours_ref"])):
        assert f"|ref:{ref}|" in found[1][name][1]


@pytest.mark.slow
def test_a_reference_of_two_images(tmp_path):
    """No metric that is made on the way asks for more than moments need."""
    real, file = write_images(tmp_path / "real", 0, count=2), tmp_path / "r.npz"
    assert outcome(["reference", "build", str(real), "-o", str(file)]) == 0
    assert outcome(["reference", "verify", str(file)]) == 0
    assert outcome(["score", str(real), "--reference", str(file), "--metrics", "fid"]) == 0
    shutil.rmtree(tmp_path / "store" / "features")  # as one may, to save space
    again = file.with_name("again.npz")
    assert outcome(["reference", "build", str(real), "-o", str(again)]) == 0
    assert dict(np.load(again))["features"].tobytes() == dict(np.load(file))["features"].tobytes()
