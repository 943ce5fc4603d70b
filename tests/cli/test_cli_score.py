"""`ldmbench score`: images and features from anywhere; every bad input is one sentence, exit 2."""

import io
import json
import os
import zipfile

import numpy as np
import pytest
from PIL import Image
from scoring import COUNT, pixels, scored, write_features, write_images

from ldmbench.canonical import digest
from ldmbench.cli import outcome
from ldmbench.errors import InputError
from ldmbench.metrics import Moments, frechet_distance, precision_recall
from ldmbench.scoring.imports import _matched


def refused(capsys, *arguments):
    code = outcome(["score", *map(str, arguments)])
    shown = capsys.readouterr().err
    assert code == 2, shown
    assert "Traceback" not in shown
    return shown


@pytest.mark.slow
def test_features_against_statistics_of_another_library(tmp_path, capsys):
    a = write_features(tmp_path / "a.npz")
    rows = np.random.default_rng(5).normal(size=(300, 6)) + 0.3
    mu, sigma = rows.mean(0), np.cov(rows, rowvar=False)
    np.savez(tmp_path / "stats.npz", mu=mu, sigma=sigma)
    scores, warnings = scored(capsys, a, "--reference", tmp_path / "stats.npz")
    expected = frechet_distance(np.load(a)["features"], Moments(300, mu, sigma))
    assert scores["fid"]["value"] == pytest.approx(expected, rel=1e-9)
    assert scores["fid"]["low"] < expected < scores["fid"]["high"]
    assert "ref:stats@" in scores["fid"]["signature"]
    assert "|m:statistics|" in scores["fid"]["signature"]
    assert any("unknown count and origin" in text for text in warnings)


def test_two_scores_against_statistics_are_compared_in_pairs(tmp_path, capsys):
    rows = np.random.default_rng(5).normal(size=(300, 6)) + 0.3
    np.savez(tmp_path / "stats.npz", mu=rows.mean(0), sigma=np.cov(rows, rowvar=False))
    for seed in (0, 1):
        a = write_features(tmp_path / f"{seed}.npz", seed)
        scored(capsys, a, "--reference", tmp_path / "stats.npz", "-o", tmp_path / f"{seed}.jsonl")
    records = [str(tmp_path / f"{seed}.jsonl") for seed in (0, 1)]
    assert outcome(["compare", *records, "--json"]) in (0, 1, 3)
    told = json.loads(capsys.readouterr().out)
    assert "200 replicates" in json.dumps(told)


def test_statistics_that_torch_fidelity_keeps(tmp_path, capsys):
    import torch
    from torch_fidelity.metric_fid import fid_features_to_statistics

    rows = torch.randn(300, 6, generator=torch.Generator().manual_seed(0))
    stats = fid_features_to_statistics(rows)
    torch.save(stats, tmp_path / "mine-inception-v3-compat-stat-fid-2048.pt")
    a = write_features(tmp_path / "a.npz")
    at = tmp_path / "mine-inception-v3-compat-stat-fid-2048.pt"
    scores, _ = scored(capsys, a, "--reference", at)
    mu, sigma = (np.asarray(stats[n], dtype=np.float64) for n in ("mu", "sigma"))
    expected = frechet_distance(np.load(a)["features"], Moments(300, mu, sigma))
    assert scores["fid"]["value"] == pytest.approx(expected, rel=1e-9)
    torch.save({"weights": torch.ones(3)}, at)
    assert "holds weights; expected mu and sigma" in refused(capsys, a, "--reference", at)
    at.write_bytes(at.read_bytes()[:100])
    assert "not readable as torch-fidelity's" in refused(capsys, a, "--reference", at)


def test_images_smaller_than_the_crop_are_counted_before_anything_runs(tmp_path, capsys):
    folder = write_images(tmp_path / "a", count=3)
    Image.new("RGB", (400, 300)).save(folder / "large.png")
    shown = refused(capsys, folder, "--reference", folder, "--protocol", "coco-30k")
    assert "3 of 4 images are smaller than the 256 pixels" in shown
    assert "3 of 16 x 16" in shown


def test_features_against_features(tmp_path, capsys):
    logits = np.random.default_rng(2).normal(size=(40, 5)).astype(np.float32)
    a = write_features(tmp_path / "a.npz", logits=logits)
    b = write_features(tmp_path / "b.npz", 1, count=50)
    record = tmp_path / "record.jsonl"
    scores, _ = scored(
        capsys, a, "--reference", b, "--metrics", "fid,kid,precision,inception_score",
        "-o", record,
    )  # fmt: skip
    expected = frechet_distance(np.load(a)["features"], np.load(b)["features"])
    assert scores["fid"]["value"] == pytest.approx(expected, rel=1e-9)
    assert "|n:40|m:50|" in scores["fid"]["signature"]
    assert set(scores) == {"fid", "kid", "precision", "inception_score"}
    assert outcome(["compare", str(record), str(record)]) == 0


def test_cautions_of_the_record_are_told_once(tmp_path, capsys):
    a = write_features(tmp_path / "a.npz", count=5)
    b = write_features(tmp_path / "b.npz", 1, count=50)
    record = tmp_path / "record.jsonl"
    asked = ("--protocol", "coco-30k", "--metrics", "fid")
    _, warnings = scored(capsys, a, "--reference", b, *asked, "-o", record)
    assert json.loads(record.read_text())["warnings"] == warnings
    assert sum("m = 30,000" in text for text in warnings) == 1
    assert sum("n = 30,000" in text for text in warnings) == 1
    assert sum("rank-deficient" in text for text in warnings) == 1
    assert not [text for text in warnings if "sampler" in text or "pixels" in text]
    part = ("--protocol", "adm-2105.05233", "--metrics", "precision,recall")
    _, warnings = scored(capsys, a, "--reference", b, *part)
    assert sum("m = 10,000 real images for kid, precision" in text for text in warnings) == 1
    np.savez(tmp_path / "mscoco-256.npz", mu=np.zeros(6), sigma=np.eye(6))
    _, warnings = scored(capsys, a, "--reference", tmp_path / "mscoco-256.npz", *asked)
    assert not [text for text in warnings if "real images" in text or "mscoco-256 " in text]


@pytest.mark.slow
def test_images_zip_and_npz_give_the_same_numbers(tmp_path, capsys):
    folder = write_images(tmp_path / "samples")
    archive = tmp_path / "samples.zip"
    with zipfile.ZipFile(archive, "w") as out:
        for file in folder.iterdir():
            out.write(file, file.name)
    np.savez(tmp_path / "samples.npz", pixels(0), np.zeros(COUNT, np.int64))
    found = [
        scored(capsys, path, "--reference", "shapes:16:32", "--metrics", "fid")
        for path in (folder, archive, tmp_path / "samples.npz")
    ]
    values = [scores["fid"]["value"] for scores, _ in found]
    assert values[0] == values[1] == values[2]
    scores, warnings = found[0]
    assert "ref:shapes16-reference@" in scores["fid"]["signature"]
    assert "feat:shapes-net@" in scores["fid"]["signature"]
    assert "quant:given" in scores["fid"]["signature"]
    assert any("rank-deficient" in text for text in warnings)


@pytest.mark.slow
def test_pairs_give_psnr_and_ssim(tmp_path, capsys):
    folder = write_images(tmp_path / "samples")
    scores, _ = scored(
        capsys, folder, "--reference", "shapes:16:32", "--pairs",
        write_images(tmp_path / "pairs", 1), "--metrics", "psnr,ssim",
    )  # fmt: skip
    assert 5 < scores["psnr"]["value"] < 12
    assert scores["ssim"]["n"] == COUNT


@pytest.mark.slow
def test_prompts_give_a_clip_score(tmp_path, capsys):
    folder = write_images(tmp_path / "samples", count=8)
    lines = [json.dumps({"file": f"{i:03d}.png", "text": "a red circle"}) for i in range(8)]
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("\n".join(lines))
    with_file, warned = scored(
        capsys, folder, "--reference", "shapes:16:32", "--metrics", "clip_score",
        "--prompts", prompts,
    )  # fmt: skip
    assert "does not know" not in "\n".join(warned)
    for i in range(8):
        (folder / f"{i:03d}.txt").write_text("a red circle")
    beside, _ = scored(capsys, folder, "--reference", "shapes:16:32", "--metrics", "clip_score")
    for same in ("value", "signature"):
        assert with_file["clip_score"][same] == beside["clip_score"][same]
    assert f"|text:{digest(['a red circle'] * 8)[:8]}|n:8|" in beside["clip_score"]["signature"]
    (tmp_path / "others.txt").write_text("a quick fox\n" * 8)
    for prompts in ("prompts.jsonl", "others.txt"):
        _, warned = scored(
            capsys, folder, "--metrics", "clip_score", "--prompts", tmp_path / prompts,
            "-o", tmp_path / f"{prompts}.record",
        )  # fmt: skip
    said = "\n".join(warned)
    assert "shapes-clip was trained on the data `shapes` alone" in said
    assert "does not know 67 % of the words of the 8 captions" in said
    assert "8 contain no word that it knows" in said
    records = [str(tmp_path / f"{prompts}.record") for prompts in ("prompts.jsonl", "others.txt")]
    assert outcome(["compare", *records]) == 2
    assert "text is" in capsys.readouterr().err


# ---------------------------------------------------------------- bad input


def picture_bytes(form, mode="RGB", **more):
    stream = io.BytesIO()
    Image.new(mode, (16, 16)).save(stream, form, **more)
    return stream.getvalue()


def test_every_corrupt_image_is_named_and_counted(tmp_path, capsys):
    folder = write_images(tmp_path / "samples")
    (folder / "003.png").write_bytes(b"")
    (folder / "005.png").write_bytes((folder / "006.png").read_bytes()[:60])
    (folder / "007.png").write_bytes(picture_bytes("PNG", "I;16"))
    (folder / "008.jpg").write_bytes(picture_bytes("JPEG", "CMYK"))
    frames = [Image.new("RGB", (16, 16), color) for color in ("red", "blue")]
    frames[0].save(folder / "009.webp", save_all=True, append_images=frames[1:])
    said = refused(capsys, folder, "--reference", "shapes:16:32")
    assert "5 of 26 images cannot be scored" in said
    for name, why in (
        ("003.png", "empty"), ("005.png", "not a readable"), ("007.png", "16 bits"),
        ("008.jpg", "CMYK"), ("009.webp", "animated"),
    ):  # fmt: skip
        assert any(name in line and why in line for line in said.splitlines()), (name, said)


@pytest.mark.parametrize("name", ["099.gif", "sub/099.TIFF"])
def test_pictures_of_other_formats_are_refused(tmp_path, capsys, name):
    folder = write_images(tmp_path / "a")
    (folder / name).parent.mkdir(exist_ok=True)
    Image.new("RGB", (16, 16)).save(folder / name)
    assert "no name of a folder" in refused(capsys, "", "--reference", "shapes:16:30")
    shown = refused(capsys, folder, "--reference", "shapes:16:30")
    assert "1 of 25 images cannot be scored" in shown
    assert f"{folder / name}: " in shown


def test_an_npz_without_images(tmp_path, capsys):
    np.savez(tmp_path / "none.npz", pixels(0)[:0])
    assert "no image in it" in refused(capsys, tmp_path / "none.npz", "--reference", "shapes:16")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("place", [70, 6000])
def test_a_damaged_npz_of_images(tmp_path, capsys, save, place):
    save(tmp_path / "a.npz", pixels(0))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[place : place + 20] = bytes(255 - byte for byte in data[place : place + 20])
    (tmp_path / "a.npz").write_bytes(data)
    assert "a.npz: " in refused(capsys, tmp_path / "a.npz", "--reference", "shapes:16")


def test_double_features_stay_double(tmp_path, capsys):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(40, 6)) + 1e6, 1.1 * rng.normal(size=(50, 6)) + 1e6
    np.savez(tmp_path / "a.npz", features=a)
    np.savez(tmp_path / "b.npz", features=b)
    scores, _ = scored(
        capsys, tmp_path / "a.npz", "--reference", tmp_path / "b.npz", "--metrics", "fid,precision"
    )
    assert scores["fid"]["value"] == pytest.approx(frechet_distance(a, b), rel=1e-9)
    assert scores["precision"]["value"] == precision_recall(a, b).precision
    np.savez(tmp_path / "b.npz", features=b * 1e50)
    shown = refused(capsys, tmp_path / "a.npz", "--reference", tmp_path / "b.npz")
    assert "values beyond 1e+45" in shown


def test_features_that_are_not_finite(tmp_path, capsys):
    b = write_features(tmp_path / "b.npz")
    for bad in (np.nan, np.inf):
        rows = np.zeros((9, 6), np.float32)
        rows[2, 3] = bad
        np.savez(tmp_path / "a.npz", features=rows)
        assert "1 values that are NaN or infinite" in refused(
            capsys, tmp_path / "a.npz", "--reference", b
        )


def test_too_few_samples(tmp_path, capsys):
    b = write_features(tmp_path / "b.npz")
    one = write_features(tmp_path / "one.npz", count=1)
    three = write_features(tmp_path / "three.npz", count=3)
    assert "1 found, at least 2" in refused(capsys, one, "--reference", b, "--metrics", "fid")
    said = refused(capsys, three, "--reference", b, "--metrics", "precision")
    assert "3 found, at least 4 are needed (k = 3)" in said
    five = write_features(tmp_path / "five.npz", count=5, logits=np.zeros((5, 4), np.float32))
    said = refused(capsys, b, "--reference", five, "--metrics", "precision,density")
    assert "5 found, at least 6 are needed (k = 5)" in said
    assert "one for each split" in refused(capsys, five, "--metrics", "inception_score")


def test_unlike_widths(tmp_path, capsys):
    a, b = write_features(tmp_path / "a.npz"), write_features(tmp_path / "b.npz", width=7)
    assert "6 features a sample" in refused(capsys, a, "--reference", b)


def test_unlike_resolutions(tmp_path, capsys):
    folder = write_images(tmp_path / "samples")
    said = refused(capsys, folder, "--reference", "shapes:32:32")
    assert "samples are 16 x 16 pixels" in said
    other = write_images(tmp_path / "other", side=24)
    said = refused(capsys, folder, "--reference", other)
    assert "24 x 24, expected 16 x 16" in said


def test_sizes_that_differ_within_a_folder(tmp_path, capsys):
    folder = write_images(tmp_path / "samples")
    Image.new("RGB", (20, 18)).save(folder / "odd.png")
    said = refused(capsys, folder, "--reference", "shapes:16:32")
    assert "24 of 16 x 16, 1 of 20 x 18" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing", "--reference", "shapes:16"], "nothing: no such folder or file"),
        (["empty", "--reference", "shapes:16"], "no image in it"),
        (["zero.npz", "--reference", "shapes:16"], "the file is empty"),
        (["broken.npz", "--reference", "shapes:16"], "not a readable npz"),
        (["other.npz", "--reference", "shapes:16"], "expected arr_0 (images), features"),
        (["a.npz", "--reference", "shapes:x"], "write shapes:RESOLUTION"),
        (["a.npz", "--reference", "a.npz", "--protocol", "cleanfid"], "did you mean 'clean-fid'?"),
        (["a.npz", "--reference", "a.npz", "--metrics", "fidd"], "did you mean 'fid'?"),
        (["a.npz", "--reference", "a.npz", "--metrics", "clip_score"], "need images"),
        (["a.npz", "--reference", "a.npz", "--metrics", "inception_score"], "has no logits"),
        (["stats.npz", "--reference", "a.npz"], "has statistics only"),
        (["a.npz", "--reference", "stats.npz", "--metrics", "kid"], "which serve fid; kid need"),
        (["a.npz"], "Missing option '--reference'"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "zero.npz").write_bytes(b"")
    (tmp_path / "broken.npz").write_bytes(b"PK not a zip")
    np.savez(tmp_path / "other.npz", something=np.zeros(3))
    np.savez(tmp_path / "stats.npz", mu=np.zeros(6), sigma=np.eye(6))
    write_features(tmp_path / "a.npz")
    assert message in refused(capsys, *arguments)


def test_lines_and_images_whose_order_is_not_one(tmp_path, capsys):
    folder = write_images(tmp_path / "samples", count=12)
    for file in folder.iterdir():
        file.rename(folder / f"{int(file.stem)}.png")
    (tmp_path / "lines.txt").write_text("a red circle\n" * 12)
    (tmp_path / "lines.jsonl").write_text('{"text": "a red circle"}\n' * 12)
    for name in ("lines.txt", "lines.jsonl"):
        said = refused(capsys, folder, "--metrics", "clip_score", "--prompts", tmp_path / name)
        assert "line 3 is of 10.png in the order of names, but of 2.png in that of" in said
        assert "give JSONL of" in said


@pytest.mark.parametrize(
    "names",
    [
        ["img.png", "img1.png", "img2.png"],
        ["09.png", "10.png", "100.png"],
        ["a/9.png", "b/10.png", "b_2/1.png"],
        ["00000002", "00000010"],
        ["1.png", "x10.png", "y9.png"],
    ],
)
def test_names_of_one_order_take_lines(tmp_path, names):
    assert _matched([(None, name) for name in names], names, tmp_path) == dict(zip(names, names))


@pytest.mark.parametrize(
    "names", [["10.png", "9.png"], ["s/a10-1.png", "s/a2-1.png"], ["01b.png", "1a.png"]]
)
def test_names_of_two_orders_take_none(tmp_path, names):
    with pytest.raises(InputError, match=f"line 1 is of {names[0]} .* but of {names[1]}"):
        _matched([(None, name) for name in names], names, tmp_path)
    by_name = [(name, name) for name in reversed(names)]
    assert _matched(by_name, names, tmp_path) == dict(zip(names, names))


def test_images_without_captions_or_pairs(tmp_path, capsys):
    folder = write_images(tmp_path / "samples")
    real = ("--reference", "shapes:16:32")
    assert "0 of 24 images have a caption" in refused(
        capsys, folder, *real, "--metrics", "clip_score"
    )
    assert "need --pairs FOLDER" in refused(capsys, folder, *real, "--metrics", "psnr")
    pairs = write_images(tmp_path / "pairs", count=20)
    said = refused(capsys, folder, *real, "--metrics", "psnr", "--pairs", pairs)
    assert "4 images are on one side only, such as 020.png" in said
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"file": "000.png"}\n')
    more = (*real, "--metrics", "clip_score", "--prompts", prompts)
    assert "prompts.jsonl:1: not a prompt" in refused(capsys, folder, *more)
    prompts.write_text('{"file": "000.png", "text": "x"}\n')
    assert "no caption for 001.png" in refused(capsys, folder, *more)


def test_count_takes_the_first_in_the_order_of_names(tmp_path, capsys):
    store = ("--store", tmp_path / "store")
    whole = write_features(tmp_path / "a.npz", seed=1)
    real = write_features(tmp_path / "b.npz", seed=2)
    with np.load(whole) as arrays:
        np.savez(tmp_path / "part.npz", features=arrays["features"][:30])
    about = ("--reference", real, "--metrics", "fid", *store)
    part, _ = scored(capsys, tmp_path / "part.npz", *about)
    found, warnings = scored(capsys, whole, *about, "--count", 30)
    assert found["fid"]["value"] == part["fid"]["value"]
    assert found["fid"]["n"] == 30
    assert f"{whole}: the first 30 of 40, in the order of names" in warnings
    assert "found 40; --count asks for 41" in refused(capsys, whole, *about, "--count", 41)
    for wrong in ("0", "-1", "²", "٣", "1e3"):
        assert "--count" in refused(capsys, whole, *about, "--count", wrong)


def test_count_with_pairs_and_prompts(tmp_path, capsys):
    store = ("--store", tmp_path / "store")
    one, two = write_images(tmp_path / "one", 0), write_images(tmp_path / "two", 1)
    few, pairs = write_images(tmp_path / "few", 0, 5), write_images(tmp_path / "pairs", 1, 5)
    about = ("--metrics", "psnr", *store)
    found, _ = scored(capsys, one, "--pairs", two, "--count", 5, *about)
    assert (
        found["psnr"]["value"] == scored(capsys, few, "--pairs", pairs, *about)[0]["psnr"]["value"]
    )
    assert found["psnr"]["n"] == 5
    (two / "000.png").rename(two / "zzz.png")
    assert "on one side only" in refused(capsys, one, "--pairs", two, "--count", 5, *about)
    values = []
    lines = [f"a {colour} circle" for colour in ("red", "green", "blue", "red", "blue")]
    for number, images, count in ((5, one, 5), (24, one, 5), (5, few, None)):
        prompts = tmp_path / f"{number}.txt"
        prompts.write_text("\n".join([*lines, *["a red ring"] * (number - 5)]))
        more = () if count is None else ("--count", count)
        found, _ = scored(capsys, images, "--prompts", prompts, *more, *store)
        values.append(found["clip_score"]["value"])
        assert found["clip_score"]["n"] == 5
    assert values[0] == values[1] == values[2]


def test_several_protocols_score_the_same_samples(tmp_path, capsys):
    store = ("--store", tmp_path / "store")
    made, real = (write_features(tmp_path / f"{n}.npz", seed=n) for n in (1, 2))
    about = (made, "--reference", real, "--metrics", "fid,precision", *store)
    written = tmp_path / "record.jsonl"
    for words in (("--protocol", "shapes-v1,clean-fid"),
                  ("--protocol", "shapes-v1", "--protocol", "clean-fid")):  # fmt: skip
        code = outcome(["score", *map(str, about), *words, "--json", "-o", str(written)])
        assert code == 0
        scores = json.loads(capsys.readouterr().out)["scores"]
        assert [(s["name"], s["protocol"]) for s in scores] == [
            ("fid", "shapes-v1"), ("precision", "shapes-v1"),
            ("fid", "clean-fid"), ("precision", "clean-fid"),
        ]  # fmt: skip
    for name in ("shapes-v1", "clean-fid"):
        alone, _ = scored(capsys, *about, "--protocol", name)
        same = {s["name"]: s for s in scores if s["protocol"] == name}
        assert alone["precision"] == same["precision"]
    assert outcome(["score", *map(str, about), "--protocol", "shapes-v1,clean-fid"]) == 0
    assert "under clean-fid" in capsys.readouterr().out
    assert "unknown protocol 'clean-fod' (did you mean 'clean-fid'?)" in refused(
        capsys, *about, "--protocol", "shapes-v1,clean-fod"
    )


def test_what_is_no_file_is_not_waited_for(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe.npz")
    real = write_features(tmp_path / "b.npz")
    for place in (tmp_path / "pipe.npz", "/dev/zero"):
        ways = [
            (place, "--reference", real),
            (real, "--reference", place),
            (real, "--pairs", place),
        ]
        for sides in (*ways, (real, "--train", place, "--reference", real)):
            message = refused(capsys, *sides, "--store", tmp_path / "store")
            assert "found a pipe, socket or device" in message
    images = write_images(tmp_path / "images")
    many = refused(capsys, images, "--reference", "shapes:16:999999999999", "--metrics", "fid")
    assert "units of work" in many


@pytest.mark.parametrize("shape", [(10**12, 10), (10**30, 2), (500, 5), (-1, 5)])
def test_headers_of_features_are_not_believed(tmp_path, capsys, shape):
    header = io.BytesIO()
    about = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, about)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("features.npy", header.getvalue() + bytes(1000))
    told = refused(capsys, tmp_path / "x.npz", "--reference", "shapes:16")
    assert "features cannot be read" in told
