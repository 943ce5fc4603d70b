"""What people give by mistake or malice: one sentence, exit code 2, nothing written elsewhere."""

import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ldmbench.cli import outcome
from ldmbench.errors import InputError
from ldmbench.scoring.npz import read_array


def picture(seed=0, side=32, form="PNG"):
    array = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, form)
    return stream.getvalue()


def folder(path, **files):
    """Write a folder of four good images and of these files."""
    path.mkdir()
    for i in range(4):
        (path / f"{i}.png").write_bytes(picture(i))
    for name, data in files.items():
        (path / name.replace("_", ".")).write_bytes(data)
    return path


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder of what there is to get wrong."""
    root = tmp_path_factory.mktemp("given")
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(20, 6)).astype(np.float32)
    folder(root / "good")
    folder(root / "pairs")
    (root / "empty").mkdir()
    folder(root / "zero", bad_png=b"")
    folder(root / "cut", bad_png=picture()[:80])
    folder(root / "text", bad_jpg=b"hello")
    stream = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(stream, "PNG")
    folder(root / "vast", bad_png=stream.getvalue())
    with zipfile.ZipFile(root / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("good.png", picture())
        with archive.open("bomb.png", "w") as file:
            for _ in range(257):
                file.write(bytes(2**20))
    for name, climb in (("climbs.zip", "../../climbs.png"), ("root.zip", "/climbs.png")):
        with zipfile.ZipFile(root / name, "w") as archive:
            archive.writestr(zipfile.ZipInfo(climb), picture())
    (root / "cut.zip").write_bytes((root / "bomb.zip").read_bytes()[:400])
    np.savez(root / "object.npz", features=np.array([{"a": 1}, [2]], dtype=object))
    np.savez(root / "pictures.npz", np.array([{"a": 1}], dtype=object))
    np.savez(root / "floats.npz", rng.random((4, 8, 8, 3)))
    np.savez(root / "labels.npz", np.zeros((4, 32, 32, 3), np.uint8), np.zeros(3, int))
    np.savez(root / "good.npz", features=rows)
    np.savez(root / "one.npz", features=rows[:1])
    np.savez(root / "three.npz", features=rows[:3])
    np.savez(root / "wide.npz", features=np.ones((20, 7)))
    np.savez(root / "deep.npz", features=np.ones((20, 6, 2)))
    np.savez(root / "none.npz", features=np.ones((0, 6)))
    np.savez(root / "whole.npz", features=np.ones((20, 6), int))
    np.savez(root / "nan.npz", features=np.where(rows > 2, np.nan, rows))
    np.savez(root / "zeros.npz", features=rows * (np.arange(20) > 1)[:, None])
    np.savez(root / "rows.npz", features=rows, logits=rows[:19])
    np.savez(root / "stats.npz", mu=np.zeros(6), sigma=np.eye(6))
    np.savez(root / "skew.npz", mu=np.zeros(6), sigma=np.triu(np.ones((6, 6))))
    np.savez(root / "minus.npz", mu=np.zeros(6), sigma=-np.eye(6))
    indefinite = np.eye(6)
    indefinite[0, 1] = indefinite[1, 0] = 1.01
    np.savez(root / "indefinite.npz", mu=np.zeros(6), sigma=indefinite)
    np.savez(root / "half.npz", mu=np.zeros(6), sigma=np.eye(6, dtype=np.float16))
    np.savez(root / "shapes.npz", mu=np.zeros(6), sigma=np.eye(5))
    (root / "cut.npz").write_bytes((root / "good.npz").read_bytes()[:300])
    with zipfile.ZipFile(root / "noise.npz", "w") as archive:
        archive.writestr("features.npy", b"no array")
    damaged = bytearray((root / "good.npz").read_bytes())
    damaged[220] ^= 255
    (root / "damaged.npz").write_bytes(damaged)
    (root / "note.txt").write_text("hello")
    (root / "binary.jsonl").write_bytes(b"\xff\xfe\x00")
    (root / "version.jsonl").write_text('{"api_version": "x"}\n')
    os.mkfifo(root / "pipe")
    return root


GOOD = "--reference good.npz"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"score nothing {GOOD}", "no such folder or file"),
        (f"score {'a' * 5000} {GOOD}", "cannot be looked at"),
        (f"score empty {GOOD}", "no image in it"),
        (f"score zero {GOOD}", "1 of 5 images cannot be scored"),
        (f"score cut {GOOD}", "bad.png: not a readable"),
        (f"score text {GOOD}", "bad.jpg: not a readable"),
        (f"score vast {GOOD}", "decompression bomb"),
        (f"score bomb.zip {GOOD}", "bomb.png: 269,484,032 bytes unpacked"),
        (f"score climbs.zip {GOOD}", "1 names lead out of the zip, such as ../../climbs.png"),
        (f"score root.zip {GOOD}", "lead out of the zip"),
        (f"score cut.zip {GOOD}", "neither a folder nor a zip"),
        (f"score note.txt {GOOD}", "neither a folder nor a zip"),
        (f"score pipe {GOOD}", "found a pipe, socket or device"),
        (f"score object.npz {GOOD}", "Object arrays cannot be loaded"),
        (f"score pictures.npz {GOOD}", "arr_0 is object"),
        (f"score floats.npz {GOOD}", "arr_0 is float64"),
        (f"score labels.npz {GOOD}", "labels are one integer for each"),
        (f"score cut.npz {GOOD}", "not a readable npz"),
        (f"score noise.npz {GOOD}", "save it as float32"),
        (f"score damaged.npz {GOOD}", "cannot be read"),
        (f"score one.npz {GOOD}", "1 found, at least 4 are needed"),
        (f"score three.npz {GOOD}", "3 found, at least 4 are needed (k = 3)"),
        (f"score one.npz {GOOD} --metrics fid", "1 found, at least 2 are needed"),
        (f"score wide.npz {GOOD}", "7 features a sample"),
        (f"score deep.npz {GOOD}", "expected (N, D)"),
        (f"score none.npz {GOOD}", "expected (N, D)"),
        (f"score whole.npz {GOOD}", "save it as float32"),
        (f"score nan.npz {GOOD}", "NaN or infinite"),
        ("score zeros.npz --metrics vendi_score", "features have 2 rows of zeros"),
        (f"score \udce9 {GOOD}", "b'\\xe9': the name is not UTF-8"),
        (f"score rows.npz {GOOD}", "different numbers of rows, 20 and 19"),
        (f"score stats.npz {GOOD}", "has statistics only"),
        ("score good.npz --reference skew.npz", "not symmetric"),
        ("score good.npz --reference minus.npz", "negative variance"),
        ("score good.npz --reference indefinite.npz", "eigenvalue of -0.01 beside a largest of 2"),
        ("score good.npz --reference half.npz", "sigma is float16, which keeps three digits"),
        ("score good.npz --reference shapes.npz", "expected (D,), (D, D)"),
        ("score wide.npz --reference stats.npz", "7 features a sample, stats.npz 6"),
        ("score good.npz --reference stats.npz --metrics fid,kid,recall", "kid, recall need"),
        ("score good.npz --reference stats.npz --metrics sfid", "sfid needs them"),
        (
            f"score good.npz {GOOD} --metrics lpips",
            "miou and pixel_accuracy need images",
        ),
        ("score good", "Missing option '--reference': give real images, --pairs or"),
        ("score good --metrics kid", "Missing option '--reference': kid"),
        ("score good --metrics lpips", "need --pairs FOLDER"),
        ("score good --pairs pairs --metrics lpips", "alexnet-owt-7be5be79.pth (244,408,911 bytes"),
        (
            "score good --reference shapes:32:20 --protocol clean-fid --metrics fid",
            "inception-2015-12-05.pt (95,607,719 bytes, sha256 f58cb9b6",
        ),
        ("score good --reference shapes:64:20", "32 x 32 pixels, shapes:64:20 64 x 64"),
        ("compare binary.jsonl binary.jsonl", "not UTF-8 text"),
        ("compare version.jsonl version.jsonl", "api_version is 'x'"),
        ("compare note.txt note.txt", "is no record file"),
        ("compare good.npz good.npz", "no record file"),
        ("compare empty empty", "empty: is a folder"),
        ("reference build empty -o x.npz", "no image in it"),
        ("reference build zero -o x.npz", "1 of 5 images cannot be scored"),
        ("reference build good.npz -o x.npz", "has no images"),
        ("reference build good -o empty", "is a directory"),
        ("reference build good --protocol adm -o x.npz", "unknown protocol 'adm'"),
        ("reference verify good.npz", "nothing says how it was made"),
        ("reference verify empty", "no such file"),
        ("reference list note.txt", "no such folder"),
        ("weights import note.txt", "which no known weights have"),
        ("weights import empty", "is no file"),
        ("weights verify lpips", "did you mean"),
    ],
)
def test_one_sentence_and_exit_code_2(here, monkeypatch, capsys, line, message):
    monkeypatch.chdir(here)
    monkeypatch.setenv("LDMBENCH_OFFLINE", "1")
    monkeypatch.setenv("LDMBENCH_WEIGHTS", str(here / "weights"))
    code = outcome(line.split())
    said = capsys.readouterr().err
    assert code == 2, said
    assert message in said
    assert "Traceback" not in said
    assert "internal error" not in said


def test_weights_of_another_digest(here, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(here)
    monkeypatch.setenv("LDMBENCH_WEIGHTS", str(tmp_path))
    file = tmp_path / "inception-v3-clean" / "inception-2015-12-05.pt"
    file.parent.mkdir()
    file.write_bytes(b"not these")
    line = "score good --reference shapes:32:20 --protocol clean-fid --metrics fid"
    assert outcome(line.split()) == 2
    said = capsys.readouterr().err
    assert "expected f58cb9b6" in said
    assert "remove the file" in said


def test_a_file_name_that_is_not_utf_8(tmp_path, capsys):
    images = folder(tmp_path / "images")
    (images / os.fsdecode(b"\xe9.png")).write_bytes(picture())
    for line in (["score", str(images), "--reference", "shapes:32:20"],
                 ["reference", "build", str(images), "-o", str(tmp_path / "x.npz")]):  # fmt: skip
        assert outcome(line) == 2
        assert "the file name b'\\xe9.png' is not UTF-8" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("metrics", "text", "message"),
    [
        ("clip_score", b"", "1.png: the caption is empty (1 of 4 are)"),
        ("clip_score", b" \n", "1.png: the caption is empty (1 of 4 are)"),
        ("fid", b"\xe9", "1.txt: not UTF-8 text"),
    ],
)
def test_captions_beside_images_that_cannot_be_used(tmp_path, capsys, metrics, text, message):
    images = folder(tmp_path / "images")
    for i in range(4):
        (images / f"{i}.txt").write_bytes(text if i == 1 else b"a red circle")
    line = ["score", str(images), "--reference", "shapes:32:20", "--metrics", metrics]
    assert outcome(line) == 2
    assert message in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read(tmp_path, capsys):
    images = folder(tmp_path / "images")
    (images / "1.png").chmod(0)
    assert outcome(["score", str(images), "--reference", "shapes:32:20"]) == 2
    assert "1.png: cannot be read" in capsys.readouterr().err


def test_pairs_of_another_size(here, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    for i in range(4):
        (other / f"{i}.png").write_bytes(picture(i, side=40))
    line = ["score", str(here / "good"), "--pairs", str(other), "--metrics", "psnr"]
    assert outcome(line) == 2
    assert "expected 32 x 32" in capsys.readouterr().err


# ---------------------------------------------------------------- prompts


def given_of(path, store):
    from ldmbench.scoring.sides import read_side
    from ldmbench.suite.protocol_files import protocol_named

    return read_side(str(path), protocol_named("shapes-v1"), store=store)


@pytest.fixture
def sources(tmp_path):
    """The same four images as a folder, a zip and an npz."""
    images = folder(tmp_path / "images")
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for i in range(4):
            archive.write(images / f"{i}.png", f"{i}.png")
    arrays = [np.asarray(Image.open(images / f"{i}.png")) for i in range(4)]
    np.savez(tmp_path / "images.npz", np.stack(arrays))
    return {name: tmp_path / name for name in ("images", "images.zip", "images.npz")}


@pytest.mark.parametrize("name", ["images", "images.zip", "images.npz"])
def test_prompts_reach_images_of_every_kind(sources, tmp_path, name):
    from ldmbench.scoring.imports import with_prompts
    from ldmbench.store.disk import Store

    store = Store(tmp_path / "store")
    store.open()
    made = given_of(sources[name], tmp_path / "store")
    texts = {image: f"caption {i}" for i, image in enumerate(made.images)}
    named, ordered, plain = (tmp_path / n for n in ("named.jsonl", "ordered.jsonl", "plain.txt"))
    named.write_text("\n".join(json.dumps({"file": f, "text": t}) for f, t in texts.items()))
    ordered.write_text("\n".join(json.dumps({"text": t}) for t in texts.values()))
    plain.write_text("\n".join(texts.values()))
    found = [with_prompts(made, file, store) for file in (named, ordered, plain)]
    assert {f.captions for f in found} == {4}
    assert len({f.source.source.captions for f in found}) == 1
    assert json.loads(Path(found[0].source.local.captions).read_text()) == texts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("one\ntwo\n", "2 captions for 4 images"),
        ("", "no prompt in it"),
        ('{"file": "0.png", "text": " "}', ":1: the caption is empty"),
        ('{"file": "0.png", "text": "a"}', "no caption for 1.png, 2.png, 3.png (3 images"),
        ('{"file": "9.png", "text": "a"}', "1 captions without an image"),
        ('{"file": "0.png", "text": "a"}\n{"file": "0.png", "text": "b"}', "repeat a file"),
        ('{"file": 0.5, "text": "a"}', "not a prompt"),
        ("[1]", "not a prompt"),
    ],
)
def test_prompts_that_do_not_fit(here, tmp_path, capsys, text, message):
    file = tmp_path / ("prompts.jsonl" if text[:1] in ("{", "[") else "prompts.txt")
    file.write_text(text)
    line = ["score", str(here / "good"), "--metrics", "clip_score", "--prompts", str(file)]
    assert outcome(line) == 2
    assert message in capsys.readouterr().err


def test_a_store_without_a_name_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert outcome(["status", "--store", ""]) == 2
    assert "found '', which names no folder" in capsys.readouterr().err
    monkeypatch.setenv("LDMBENCH_STORE", "")
    assert outcome(["status"]) == 2
    assert "no run in .ldmbench yet" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_features_that_are_packed_beyond_reason_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("ldmbench.scoring.npz.PACKED", (1000, 10))
    np.savez_compressed(tmp_path / "bomb.npz", features=np.zeros((100, 100)))
    with pytest.raises(InputError, match=r"bomb\.npz: features is 80,128 bytes, packed into"):
        read_array(tmp_path / "bomb.npz", "features")
