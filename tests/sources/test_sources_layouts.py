"""Layouts of folders and archives: read as their own tools read them, or refused by name."""

import csv
import io
import json
import os
import unicodedata
import zipfile
import zlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ldmbench.canonical import digest, digest_bytes
from ldmbench.errors import InputError
from ldmbench.sources.digests import source_digest
from ldmbench.sources.images.captions import read_captions
from ldmbench.sources.images.decode import npz_shape
from ldmbench.sources.images.inspection import check_images, inspect_images
from ldmbench.sources.images.listing import by_prefix, list_images, list_source
from ldmbench.sources.images.rows import read_prompts
from ldmbench.sources.images.splits import count_split, split_images
from ldmbench.sources.kinds.folder import FolderSource


def _picture(seed=0, side=16, form="PNG"):
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, form)
    return out.getvalue()


def _tree(root, *names, **texts):
    """Write pictures of these names, each its own, and further files."""
    for number, name in enumerate(names):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(_picture(number))
    for name, text in texts.pop("files", {}).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def _zip(path, *names, files=None):
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(names):
            archive.writestr(zipfile.ZipInfo(name), _picture(number))
        for name, text in (files or {}).items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return path


def _labels(path):
    return {file.name: file.label for file in list_images(path)}


def _splits(path):
    return {file.name: file.split for file in list_images(path)}


def _captions(path):
    files = list_images(path)
    return dict(zip((f.name for f in files), read_captions(files) or (), strict=False))


# ---------------------------------------------------------------- splits and classes

PAIR = ("n01/a.JPEG", "n02/b.JPEG")


@pytest.mark.parametrize(
    ("train", "held", "split"),
    [
        ("train", "val", "validation"),
        ("Train", "Val", "validation"),
        ("training", "valid", "validation"),
        ("TRAIN", "VALID", "validation"),
        ("train2017", "val2017", "validation"),
        ("train_256", "val_256", "validation"),
        ("train", "validation", "validation"),
        ("train", "dev", "validation"),
        ("train", "test", "test"),
        ("train", "Test", "test"),
        ("train-set", "testset", "test"),
        ("train", "reference", "reference"),
    ],
)
def test_what_is_held_out_is_no_class_and_does_not_train(tmp_path, train, held, split):
    names = [f"{folder}/{name}" for folder in (train, held) for name in PAIR]
    root = _tree(tmp_path / "set", *names)
    files = list_images(root)
    assert [f.split for f in files if f.name.startswith(f"{held}/")] == [split] * 2
    assert {f.label for f in files} == {0, 1}
    kept = {"reference": 0, "validation": 0}
    assert {f.name for f in split_images(files, "train", **kept)} == set(names[:2])
    found = split_images(files, "validation", **kept)
    assert {f.name for f in found} == (set(names[2:]) if split == "validation" else set())


@pytest.mark.parametrize("held", ["val", "test", "valid"])
def test_held_out_images_alone_train_nothing(tmp_path, held):
    root = _tree(tmp_path / "set", *(f"{held}/{name}" for name in PAIR))
    with pytest.raises(InputError, match=f"all 2 images .*such as {held}/.*name the folder"):
        count_split(FolderSource(root), "train", reference=0, validation=0)


def test_names_that_only_begin_like_splits_are_classes(tmp_path):
    root = _tree(tmp_path / "set", "train_station/a.png", "test_tube/b.png", "valley/c.png")
    assert _labels(root) == {"train_station/a.png": 1, "test_tube/b.png": 0, "valley/c.png": 2}
    assert set(_splits(root).values()) == {""}


def test_a_train_among_vehicles_is_refused(tmp_path):
    root = _tree(tmp_path / "set", "bus/a.png", "car/b.png", "train/c.png")
    with pytest.raises(InputError, match=r"train/ lies beside 2 other folders.*such as bus/"):
        list_images(root)


def test_two_folders_of_one_split_are_refused(tmp_path):
    root = _tree(tmp_path / "set", "train/a.png", "val/b.png", "valid/c.png")
    with pytest.raises(InputError, match="val/ and valid/ are both validation"):
        list_images(root)


@pytest.mark.parametrize(
    "names",
    [
        ("cats/train/1.png", "cats/test/2.png", "dogs/train/3.png"),
        ("data/train/a/1.png", "data/Val/a/2.png", "logo.png"),
    ],
)
def test_splits_below_other_folders_are_refused(tmp_path, names):
    with pytest.raises(InputError, match=r"are splits, but lie below folders.*move train/"):
        list_images(_zip(tmp_path / "set.zip", *names))


def test_a_flat_val_beside_class_folders_has_no_class_and_shifts_none(tmp_path):
    """As ImageNet's val is unpacked, and Tiny ImageNet's, whose val lies in val/images/."""
    for number, val in enumerate(("val/v.JPEG", "val/images/v.JPEG")):
        root = _tree(tmp_path / str(number), "train/n01/a.JPEG", "train/n02/b.JPEG", val)
        assert _labels(root) == {"train/n01/a.JPEG": 0, "train/n02/b.JPEG": 1, val: -1}
        assert any("1 images lie in no class folder" in text for text in list_source(root).said)


def test_what_is_in_no_split_is_counted(tmp_path):
    root = _tree(tmp_path / "set", "train/a/1.png", "val/a/2.png", "test/a/3.png", "stray.png")
    said = " ".join(list_source(root).said)
    assert "1 images of test/ are held out and in no split" in said
    assert "1 images lie outside the splits, such as stray.png" in said


def test_what_a_layout_makes_of_names_is_in_the_digest(tmp_path):
    """A store that was filled before val/ was held out does not serve its images."""
    names = ("train/a/1.png", "val/a/2.png")
    as_before = {name: digest_bytes(_picture(i)) for i, name in enumerate(names)}
    assert source_digest(_tree(tmp_path / "set", *names)) != digest(as_before)
    plain = ("train/a/1.png", "validation/a/2.png")
    as_before = dict(zip(plain, as_before.values(), strict=True))
    assert source_digest(_tree(tmp_path / "plain", *plain)) == digest(as_before)


def test_numbered_folders_are_no_classes(tmp_path):
    for number, names in enumerate(
        (
            ("00000/img00000000.png", "00001/img00001000.png"),  # StyleGAN, EDM
            ("00000/00999.png", "01000/01000.png"),  # FFHQ
            ("00000/000000001.jpg", "00001/000010001.jpg"),  # img2dataset
        )
    ):
        root = _tree(tmp_path / str(number), *names)
        assert set(_labels(root).values()) == {0}
        assert any("are no classes" in text for text in list_source(root).said)
    classes = _tree(tmp_path / "classes", "00000/00001.png", "00001/00001.png")
    assert sorted(_labels(classes).values()) == [0, 1]


def test_classes_of_file_names_as_guided_diffusion_has_them(tmp_path):
    root = _tree(tmp_path / "set", "plane_0.png", "car_1.png", "deep/car_2.png", "noclass.png")
    found = {file.name: file.label for file in by_prefix(list_images(root))}
    assert found == {"plane_0.png": 2, "car_1.png": 0, "deep/car_2.png": 0, "noclass.png": 1}
    assert (list_source(root).facts.classes, list_source(root, "name").facts.classes) == (1, 3)


def test_masks_beside_images_are_pointed_at(tmp_path):
    root = _tree(tmp_path / "set", "CelebA-HQ-img/0.jpg", "CelebAMask-HQ-mask-anno/0.png")
    assert list_source(root).said[0].startswith("CelebAMask-HQ-mask-anno/ is read as a class")


def test_linked_class_folders_are_read_and_a_loop_is_refused(tmp_path):
    real = _tree(tmp_path / "elsewhere", "1.png", "2.png")
    root = _tree(tmp_path / "set", "cat/3.png")
    (root / "dog").symlink_to(real)
    assert _labels(root) == {"cat/3.png": 0, "dog/1.png": 1, "dog/2.png": 1}
    before = source_digest(root)
    (real / "1.png").write_bytes(_picture(9))
    assert source_digest(root) != before
    (root / "cat/up").symlink_to(root)
    with pytest.raises(InputError, match=r"up.*a link to a folder that holds it"):
        list_images(root)


# ---------------------------------------------------------------- how archives spell names

FLAT = ("train/c0/0.png", "train/c1/1.png", "validation/c0/2.png", "reference/c1/3.png")
NFD = unicodedata.normalize("NFD", "é")


@pytest.mark.parametrize(
    "form",
    ["data/{}", "a/b c/{}", "./{}", "./data/{}", "data//{}", "data\\{}", ".\\{}"],
)
def test_one_source_however_it_was_packed(tmp_path, form):
    flat = _tree(tmp_path / "flat", *FLAT)
    names = [form.format(name.replace("/", "\\") if "\\" in form else name) for name in FLAT]
    packed = _zip(
        tmp_path / "set.zip",
        *names,
        files={"__MACOSX/data/._0.png": "x", f"{names[0][:-5]}.DS_Store": "x"},
    )
    assert _labels(packed) == _labels(flat)
    assert _splits(packed) == _splits(flat)
    assert source_digest(packed) == source_digest(flat)
    assert any("macOS" in text for text in list_source(packed).said)


def test_a_folder_in_a_folder_is_looked_through(tmp_path):
    root = _tree(tmp_path / "set", *(f"imagenet/{name}" for name in FLAT))
    assert _labels(root) == _labels(_tree(tmp_path / "flat", *FLAT))
    assert list_images(root)[0].where == f"{root}/imagenet/reference/c1/3.png"


def test_backslashes_of_an_archive_that_was_unpacked_here(tmp_path):
    root = _tree(tmp_path / "set", *(name.replace("/", "\\") for name in FLAT))
    assert _labels(root) == _labels(_tree(tmp_path / "flat", *FLAT))


def test_decomposed_names_are_composed(tmp_path):
    packed = _zip(
        tmp_path / "set.zip",
        f"caf{NFD}/a{NFD}.png",
        "dog/b.png",
        files={f"caf{NFD}/aé.txt": "an e", "captions.jsonl": '{"file": "dog/b.png", "text": "b"}'},
    )
    root = _tree(tmp_path / "set", "café/aé.png", "dog/b.png", files={"café/aé.txt": "an e"})
    assert _labels(packed) == _labels(root)
    assert _captions(packed)["café/aé.png"] == _captions(root)["café/aé.png"] == "an e"


@pytest.mark.parametrize(
    "names",
    [("a.png", "a.png"), ("a.png", "./a.png"), ("é.png", f"{NFD}.png"), ("c/a.png", "c\\a.png")],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_files_of_one_name_are_refused(tmp_path, names):
    packed = _zip(tmp_path / "set.zip", *names)
    with pytest.raises(InputError, match="1 names stand for several files"):
        list_images(packed)


@pytest.mark.parametrize("name", ["../a.png", "/a.png", "..\\a.png", "x/../../a.png"])
def test_names_that_lead_out_are_refused(tmp_path, name):
    with pytest.raises(InputError, match="lead out of the zip"):
        list_images(_zip(tmp_path / "set.zip", name))


def test_dot_names_count_and_hidden_folders_are_counted(tmp_path):
    root = _tree(
        tmp_path / "set", ".45 pistol.png", "cat.png", ".cache/x.png", "._only.png", ".png"
    )
    (root / "._cat.png").write_bytes(b"\0\5\x16\7")
    (root / ".gitattributes").write_text("x")
    assert sorted(_labels(root)) == [".45 pistol.png", "._only.png", "cat.png"]
    said = list_source(root).said
    assert said == (
        "1 images in hidden folders are left out, such as .cache/x.png",
        "1 files whose whole name is a suffix are left out, such as .png",
        "1 files that macOS adds are left out, such as ._cat.png",
    )
    with pytest.raises(InputError, match="no image in it; 1 images in hidden folders"):
        list_images(_zip(tmp_path / "set.zip", ".data/a.png"))


def test_suffixes_of_any_case(tmp_path):
    root = _tree(tmp_path / "set", "a.PNG", "b.JPG", "c.Jpeg", files={"a.TXT": "an a"})
    assert _captions(root) == {"a.PNG": "an a", "b.JPG": "", "c.Jpeg": ""}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("set.tar", "tar archives are not read: unpack it"),
        ("set.tar.gz", "tar archives are not read: unpack it"),
        ("set.tgz", "tar archives are not read: unpack it"),
        ("set.parquet", r"kind: parquet reads \.parquet files"),
        ("set.png", "neither a folder nor a zip"),
    ],
)
def test_other_archives_are_refused_by_name(tmp_path, name, said):
    (tmp_path / name).write_bytes(b"some bytes")
    with pytest.raises(InputError, match=said):
        list_images(tmp_path / name)


@pytest.mark.parametrize("name", ["pipe.npz", "pipe.zip", "pipe"])
def test_a_pipe_is_no_source(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match=r"neither a folder .* pipe or device"):
        list_images(tmp_path / name)


def test_what_a_source_holds_instead_of_images(tmp_path):
    tars = _tree(tmp_path / "tars", files={"n01.tar": "x", "n02.tar": "x", "README.md": "x"})
    with pytest.raises(InputError, match=r"holds 2 \.tar files, such as n01\.tar.*unpack"):
        list_images(tars)
    phone = _tree(tmp_path / "phone", files={"a.HEIC": "x"})
    with pytest.raises(InputError, match=r"holds 1 \.heic files, such as a\.HEIC"):
        list_images(phone)


def test_archives_and_tables_beside_images_are_counted(tmp_path):
    root = _tree(
        tmp_path / "set",
        "a.png",
        files={"more.zip": "x", "captions.csv": "x", "notes.md": "x", "labels.txt": "x"},
    )
    assert list_source(root).said == ("3 other files are not read, such as captions.csv",)


# ---------------------------------------------------------------- captions and classes in files

THREE = ("a/0.png", "a/1.png", "b/2.png")


def _metadata(kind, rows):
    if kind == "jsonl":
        return "\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    if kind == "csv":
        out = io.StringIO()
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        return "\ufeff" + out.getvalue()
    out = io.BytesIO()
    pd.DataFrame(rows).to_parquet(out)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_metadata_names_its_images_in_any_order(tmp_path, kind):
    rows = [
        {"file_name": name, "text": f'"{i}",\nof {name}', "label": label, "width": 16}
        for i, (name, label) in enumerate(zip(THREE, (2, 0, 2), strict=True))
    ]
    files = {f"metadata.{kind}": _metadata(kind, rows[::-1])}
    root = _tree(tmp_path / "set", *THREE, files=files)
    assert _captions(root) == {name: f'"{i}", of {name}' for i, name in enumerate(THREE)}
    assert list(_labels(root).values()) == [2, 0, 2]
    assert list_source(root).said == (f"columns of metadata.{kind} that nothing reads: width",)
    packed = _zip(
        tmp_path / "set.zip",
        *(f"d/{n}" for n in THREE),
        files={f"d/metadata.{kind}": files[f"metadata.{kind}"]},
    )
    assert source_digest(packed) == source_digest(root)


def test_metadata_of_each_folder_and_without_classes(tmp_path):
    """With metadata that names no classes, folders are none: so Hugging Face reads it."""
    files = {f"{c}/metadata.jsonl": json.dumps({"file_name": f"{i}.png", "caption": c})
             for i, c in enumerate("ab")}  # fmt: skip
    root = _tree(tmp_path / "set", "a/0.png", "b/1.png", files=files)
    assert _captions(root) == {"a/0.png": "a", "b/1.png": "b"}
    assert set(_labels(root).values()) == {0}
    assert any("tells no classes" in text for text in list_source(root).said)


def test_classes_by_name_in_metadata(tmp_path):
    rows = [{"file_name": n, "label": c} for n, c in zip(THREE, ("dog", "cat", ""), strict=True)]
    root = _tree(tmp_path / "set", *THREE, files={"metadata.csv": _metadata("csv", rows)})
    assert list(_labels(root).values()) == [1, 0, -1]
    rows = [{"file_name": n, "label": c} for n, c in zip(THREE, (-1, 0, 0), strict=True)]
    (root / "metadata.csv").write_text(_metadata("csv", rows[:2]))
    (root / "b/2.png").unlink()
    assert list(_labels(root).values()) == [-1, 0]
    rows[0]["label"] = 10**12
    (root / "metadata.csv").write_text(_metadata("csv", rows[:2]))
    with pytest.raises(InputError, match="a class has the number 1000"):
        list_images(root)


@pytest.mark.parametrize("trained", ["dog", 0])
def test_classes_by_name_are_those_of_the_training_images(tmp_path, trained):
    labels = {"train/0.png": trained, "val/1.png": "ant"}
    rows = [{"file_name": name, "label": label} for name, label in labels.items()]
    files = {"metadata.jsonl": "\n".join(map(json.dumps, rows))}
    root = _tree(tmp_path / "set", "train/0.png", "val/1.png", files=files)
    assert _labels(root) == {"train/0.png": 0, "val/1.png": -1}
    assert any("1 images have no class" in text for text in list_source(root).said)


def test_a_column_that_is_there_twice_is_refused(tmp_path):
    files = {"metadata.csv": "file_name,text,text\na.png,x,y\n"}
    with pytest.raises(InputError, match="a column is there twice"):
        list_images(_tree(tmp_path / "set", "a.png", files=files))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"text": "x"}], "metadata.jsonl:1: no file_name"),
        ([{"file_names": ["a/0.png"], "text": "x"}], "no file_name"),
        ([{"file_name": "a/0.png", "text": "x"}], "2 images are not named in it, such as a/1.png"),
        ([{"file_name": n} for n in (*THREE, "z.png")], "1 rows name no image.*such as z.png"),
        ([{"file_name": n, "text": "x", "prompt": "y"} for n in THREE], "text and prompt could"),
        ([{"file_name": n, "label": [1, 2]} for n in THREE], "its class is"),
        ([{"file_name": THREE[0], "label": i} for i in (1, 2)], "has two labels"),
    ],
)
def test_metadata_that_is_refused(tmp_path, rows, said):
    root = _tree(tmp_path / "set", *THREE, files={"metadata.jsonl": _metadata("jsonl", rows)})
    with pytest.raises(InputError, match=said):
        list_images(root)


def test_two_metadata_files_of_one_folder_are_refused(tmp_path):
    root = _tree(tmp_path / "set", "a.png", files={"metadata.csv": "", "metadata.jsonl": ""})
    with pytest.raises(InputError, match="both tell of one folder"):
        list_images(root)


@pytest.mark.parametrize("top", ["", "cifar/"])
def test_labels_of_dataset_json(tmp_path, top):
    names = [f"{i // 2:05d}/img{i:08d}.png" for i in range(5)]
    told = {"labels": [[name.replace("/", "\\"), 4 - i] for i, name in enumerate(names)]}
    packed = _zip(
        tmp_path / "set.zip",
        *(top + n for n in names),
        files={f"{top}dataset.json": json.dumps(told)},
    )
    assert list(_labels(packed).values()) == [4, 3, 2, 1, 0]
    first = source_digest(packed)
    told["labels"][0][1] = 0
    _zip(packed, *(top + n for n in names), files={f"{top}dataset.json": json.dumps(told)})
    assert source_digest(packed) != first
    none = _zip(tmp_path / "none.zip", *names, files={"dataset.json": '{"labels": null}'})
    assert set(_labels(none).values()) == {0}


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([["a/0.png", 1]], "2 images are not named in it"),
        ([[n, [0.1, 0.9]] for n in THREE], "labels that are no class numbers"),
        ([[n, -1] for n in THREE], "no class numbers"),
        ({"a/0.png": 1}, "labels are"),
        ([["a/0.png"]], "labels are"),
        ([[n, 0] for n in THREE] + [["a\\0.png", 1]], "has two labels"),
    ],
)
def test_dataset_json_that_is_refused(tmp_path, labels, said):
    files = {"dataset.json": json.dumps({"labels": labels})}
    with pytest.raises(InputError, match=f"dataset.json: .*{said}"):
        list_images(_tree(tmp_path / "set", *THREE, files=files))


def test_kohya_captions_are_the_first_line(tmp_path):
    files = {"a/0.caption": "\n a cat \nanother", "a/1.txt": "a dog,\nasleep"}
    root = _tree(tmp_path / "set", *THREE, files=files)
    assert list(_captions(root).values()) == ["a cat", "a dog, asleep", ""]
    (root / "a/0.txt").write_text("tags")
    with pytest.raises(InputError, match=r"a/0\.caption and a/0\.txt both are captions"):
        list_images(root)


def test_captions_without_an_image_are_counted(tmp_path):
    root = _tree(tmp_path / "set", "a.png", files={"a.txt": "x", "b.txt": "y"})
    assert list_source(root).said == ("1 files of captions have no image, such as b.txt",)


def test_the_first_of_several_captions_is_used_and_the_others_are_counted(tmp_path):
    lines = [
        json.dumps({"image": "a/0.png", "captions": ["one", "two", "three"]}),
        json.dumps({"file_name": "./a\\1.png", "caption": "four"}),
        json.dumps({"file": "a/1.png", "text": "five"}),
    ]
    root = _tree(tmp_path / "set", *THREE, files={"captions.jsonl": "\n".join(lines)})
    assert list(_captions(root).values()) == ["one", "four", ""]
    assert list_source(root).said == (
        "2 images have several captions: the first of each is used, and 3 are not",
    )


def test_captions_of_coco(tmp_path):
    told = {
        "images": [{"id": 7, "file_name": "007.jpg"}, {"id": 9, "file_name": "009.jpg"}],
        "annotations": [
            {"id": 3, "image_id": 7, "caption": "later\n"},
            {"id": 1, "image_id": 7, "caption": "first\n"},
            {"id": 2, "image_id": 9, "caption": "absent"},
        ],
    }
    files = {"annotations/captions_train2017.json": json.dumps(told)}
    root = _tree(tmp_path / "set", "train2017/007.jpg", "val2017/008.jpg", files=files)
    assert _captions(root) == {"train2017/007.jpg": "first", "val2017/008.jpg": ""}
    assert any("1 captions of" in text and "not there" in text for text in list_source(root).said)


# ---------------------------------------------------------------- lines


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\r"])
def test_a_line_ends_at_a_line_feed_alone(tmp_path, mark):
    texts = [f"one{mark}, red", "", f"two{mark}"]
    lines = [json.dumps({"file": f"{i}.png", "text": t}, ensure_ascii=False)
             for i, t in enumerate(texts) if t]  # fmt: skip
    (tmp_path / "p.jsonl").write_bytes(("\ufeff" + "\r\n".join(lines) + "\r\n").encode())
    (tmp_path / "p.txt").write_bytes("\r\n".join(texts).encode())
    assert read_prompts(tmp_path / "p.jsonl") == [("0.png", "one , red"), ("2.png", "two")]
    assert [text for _, text in read_prompts(tmp_path / "p.txt")] == ["one , red", "two"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"image_id": 3, "text": "x"}', "image_id may name the image"),
        ('{"img": "a.png", "text": "x"}', "img may name the image"),
        ('{"file": "a.png", "image": "b.png", "text": "x"}', "name different images"),
        ('{"file": "a.png", "captions": ["x", "y"]}', "2 captions; give the one"),
        ('{"file": "a.png"}', "not a prompt"),
        ('{"file": "a.png", "text": " "}', "the caption is empty"),
        ('{"file": ["a.png"], "text": "x"}', "not a prompt"),
        ("[" * 5000, "not a prompt"),
    ],
)
def test_prompts_that_are_refused(tmp_path, line, said):
    (tmp_path / "p.jsonl").write_text('{"file": "z.png", "text": "ok"}\n\n' + line)
    with pytest.raises(InputError, match=rf"p\.jsonl:3: .*{said}"):
        read_prompts(tmp_path / "p.jsonl")


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("p.jsonl", '{"target": "d/1.PNG", "prompt": "x"}'),
        ("p.csv", "photo,text\na b.jpg,x"),
        ("p.txt", '{"file": "1.png", "text": "x"}'),
        ("p.txt", "1.jpg#0\ta cat"),
        ("p.txt", "1.png, a cat"),
    ],
)
def test_what_names_an_image_is_never_matched_by_order(tmp_path, name, line):
    (tmp_path / name).write_text(line + "\n")
    with pytest.raises(InputError, match=rf"{name}:[12]: (not a caption alone|\w+ may name)"):
        read_prompts(tmp_path / name)


def test_lines_of_captions_may_speak_of_pictures(tmp_path):
    lines = ["IMG_1.jpg, a cat on a desk", "{a cat|a dog}", "a file called a.png, open"]
    (tmp_path / "p.txt").write_text("\n".join(lines))
    assert read_prompts(tmp_path / "p.txt") == [(None, line) for line in lines]


@pytest.mark.parametrize("key", ["file", "file_name", "image", "filename", "path"])
def test_keys_that_name_an_image(tmp_path, key):
    (tmp_path / "p.jsonl").write_text(json.dumps({key: "./d\\a.png", "caption": "x"}))
    assert read_prompts(tmp_path / "p.jsonl") == [("d/a.png", "x")]


# ---------------------------------------------------------------- listed once


@pytest.mark.parametrize("change", ["new", "gone", "told", "deep"])
def test_a_source_is_listed_once_until_it_changes(tmp_path, monkeypatch, change):
    monkeypatch.setattr("ldmbench.sources.remembered._SETTLED_NS", -1)
    files = {"captions.jsonl": '{"file": "a/0.png", "text": "x"}'}
    root = _tree(tmp_path / "set", *THREE, files=files)
    first = list_source(root)
    assert list_source(root) is first
    if change == "told":
        (root / "captions.jsonl").write_text('{"file": "a/0.png", "text": "y"}')
    elif change == "gone":
        (root / "a/0.png").rename(root / "a/9.png")
        (root / "captions.jsonl").unlink()
    else:
        _tree(root, "new.png" if change == "new" else "b/new/er.png")
    assert list_source(root) != first


# ---------------------------------------------------------------- what plan says of bad images


def _bad(root):
    """Write a source of which only good.png can be used at 16 pixels."""
    good = _picture(0)
    return _tree(
        root,
        "good.png",
        files={
            "cut.png": good[:-40],
            "empty.jpg": "",
            "text.png": "no picture",
            "small.png": _picture(1, 8),
            "phone.heic": "x",
            "moving.gif": "x",
        },
    )


def test_all_bad_images_are_named_at_once(tmp_path):
    root = _bad(tmp_path / "set")
    os.mkfifo(root / "pipe.png")
    (root / "endless.png").symlink_to("/dev/zero")
    how = {"resolution": 16, "crop": "center", "upscale": False}
    with pytest.raises(InputError, match="8 of 9 images cannot be used") as caught:
        check_images(root, **how)
    lines = str(caught.value).splitlines()[1:]
    named = {line.split(": ")[0].rpartition("/")[2] for line in lines}
    assert named == {file.name for file in root.iterdir()} - {"good.png"}
    with pytest.raises(InputError, match="a pipe or device"):
        source_digest(root)
    assert any("pipe.png: a pipe or device" in text for text in inspect_images(root).problems)


def test_captions_that_are_no_text_are_named_with_the_bad_images(tmp_path):
    files = {"a.txt": "a cat", "b.txt": "a dog".encode("utf-16")}
    for source in (
        _tree(tmp_path / "set", "a.png", "b.png", files=files),
        _zip(tmp_path / "set.zip", "a.png", "b.png", files=files),
    ):
        with pytest.raises(InputError, match=r"\n  .*/b\.txt: not UTF-8 text"):
            check_images(source, resolution=16, crop="center", upscale=False)


def test_images_are_looked_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("ldmbench.sources.remembered._SETTLED_NS", -1)
    how = {"resolution": 16, "crop": "none", "upscale": True}
    for source in (_tree(tmp_path / "set", *FLAT), _zip(tmp_path / "set.zip", *FLAT)):
        cache = tmp_path / f"{source.name}.json"
        check_images(source, cache, **how)
        found = source_digest(source)
        with monkeypatch.context() as patch:
            patch.setattr(
                "ldmbench.sources.images.inspection.size_of", lambda *a, **k: pytest.fail("again")
            )
            patch.setattr("ldmbench.sources.digests.digest_file", lambda f: pytest.fail("again"))
            check_images(source, cache, **how)
            assert source_digest(source, cache) == found
        with pytest.raises(InputError, match="4 of 4 images cannot be used"):
            check_images(source, cache, resolution=32, crop="center", upscale=False)


def test_a_source_too_large_to_decode_is_looked_at_by_its_headers(tmp_path, monkeypatch):
    monkeypatch.setattr("ldmbench.sources.images.inspection.DECODED", 0)
    root = _bad(tmp_path / "set")
    with pytest.raises(InputError, match="5 of 7 images cannot be used") as caught:
        check_images(root, resolution=16, crop="center", upscale=False)
    assert "cut.png" not in str(caught.value)


def test_a_picture_of_huge_sides_is_refused_unread(tmp_path):
    header = bytearray(_picture(0))
    header[16:24] = (12_000).to_bytes(4, "big") * 2
    header[29:33] = zlib.crc32(bytes(header[12:29])).to_bytes(4, "big")
    root = _tree(tmp_path / "set", files={"huge.png": bytes(header)})
    with pytest.raises(InputError, match="12000 x 12000 pixels, and no more than"):
        check_images(root, resolution=16, crop="center", upscale=False)


def _npz(path, shape, *, method=zipfile.ZIP_STORED, size=None, labels=None):
    """Write an npz whose headers say what its data do not hold."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, told, dtype in (("arr_0", shape, "|u1"), ("arr_1", labels, "<i8")):
            if told is not None:
                head = io.BytesIO()
                about = {"descr": dtype, "fortran_order": False, "shape": told}
                np.lib.format.write_array_header_1_0(head, about)
                archive.writestr(f"{name}.npy", head.getvalue() + bytes(size or 768))
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_npz_header_is_held_to_the_file(tmp_path, method):
    lie = _npz(tmp_path / "lie.npz", (10**12, 16, 16, 3), method=method)
    with pytest.raises(InputError, match="by its header, and the file holds no more than"):
        list_images(lie)
    labels = _npz(tmp_path / "labels.npz", (1, 16, 16, 3), labels=(10**12,), method=method)
    with pytest.raises(InputError, match=r"arr_1 is int64 .*by its header"):
        list_images(labels)
    cut = _npz(tmp_path / "cut.npz", (2, 16, 16, 3), method=method)
    with pytest.raises(InputError, match="by its header"):
        npz_shape(cut)
    assert npz_shape(_npz(tmp_path / "ok.npz", (1, 16, 16, 3), method=method))[0] == 1


def test_an_npz_whose_directory_lies_of_its_length(tmp_path):
    path = _npz(tmp_path / "lie.npz", (10**9, 16, 16, 3))
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2")
    for field in (20, 24):  # packed and unpacked bytes
        data[at + field : at + field + 4] = (0xFFFFFFFE).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(InputError, match="by its header, and the file holds no more"):
        list_images(path)


def test_a_zip_that_is_one_split_is_scored_whole(tmp_path):
    for held, split in (("val", "all"), ("test", "all"), ("train", "train"), ("images", "train")):
        packed = _zip(tmp_path / f"{held}.zip", f"{held}/a/0.png", f"{held}/b/1.png")
        found = inspect_images(packed)
        assert (len(found.names), found.split) == (2, split)
    both = _zip(tmp_path / "both.zip", "train/0.png", "val/1.png")
    with pytest.raises(InputError, match="holds the splits train, validation"):
        inspect_images(both)
    assert list_source(both).plain is False
