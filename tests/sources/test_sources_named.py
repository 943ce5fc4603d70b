"""Published data sets: read in each layout in which they lie on disk, broken ones refused."""

import json
import pickle
import shutil
import zipfile

import named_sets as sets
import numpy as np
import pytest
from containers import coded, edm, picture
from named_sets import write
from PIL import Image

from ldmbench.catalog.datasets import DATASETS
from ldmbench.data.images import read_images
from ldmbench.errors import InputError
from ldmbench.sources.kinds import open_source
from ldmbench.sources.kinds.imagenet import synsets

CHECK = {"resolution": 16, "crop": "center", "upscale": False}


def listed(kind, path, **options):
    return open_source(kind, path, options).listing()


def table(listing):
    """Return name -> split and class."""
    return {file.name: (file.split, file.label) for file in listing.files}


# ---------------------------------------------------------------- imagenet

CLASSES = (0, 155, 999)


def test_synsets_are_everybodys_order():
    assert len(synsets()) == 1000
    assert [synsets()[name] for name in sets.SYNSETS] == [*CLASSES]
    assert len(DATASETS["imagenet"].bad) == 23


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ("train", "val"),
        ("ILSVRC/Data/CLS-LOC/train", "ILSVRC/Data/CLS-LOC/val"),
        ("ILSVRC2012_train/data", "ILSVRC2012_validation/data"),
    ],
)
def test_imagenet_in_the_layouts_of_its_copies(train, val, tmp_path):
    sets.imagenet_train(tmp_path / train)
    sets.imagenet_val(tmp_path / val)
    sets.devkit(tmp_path / "ILSVRC2012_devkit_t12")
    found = listed("imagenet", tmp_path)
    rows = table(found)
    assert rows["train/n02086240/n02086240_3.JPEG"] == ("train", 155)
    assert [rows[f"validation/ILSVRC2012_val_{i:08d}.JPEG"] for i in (1, 2, 3)] == [
        ("validation", 999),
        ("validation", 0),
        ("validation", 155),
    ]
    assert "12 of the 1,281,167 train images of imagenet are here: a part" in found.remarks
    assert any("3 of 1,000 classes" in text for text in found.remarks)
    assert found.facts.classes == 1000
    open_source("imagenet", tmp_path, {}).check(None, **CHECK)


def test_the_truth_of_compvis_and_of_kaggle_says_the_same(tmp_path):
    for name, text in {
        "validation_synset.txt": "ILSVRC2012_val_00000001.JPEG n15075141\n",
        "LOC_val_solution.csv": "ImageId,PredictionString\nILSVRC2012_val_00000001,n15075141 1 2\n",
    }.items():
        folder = tmp_path / name
        sets.imagenet_train(folder / "train", 1)
        sets.imagenet_val(folder / "val", 1)
        write(folder / name, text)
        assert (
            table(listed("imagenet", folder))["validation/ILSVRC2012_val_00000001.JPEG"][1] == 999
        )


def test_a_flat_validation_split_without_truth_has_no_classes_and_says_what_would_help(tmp_path):
    sets.imagenet_train(tmp_path / "train")
    sets.imagenet_val(tmp_path / "val")
    found = listed("imagenet", tmp_path)
    assert {label for split, label in table(found).values() if split == "validation"} == {-1}
    assert any("validation_synset.txt, LOC_val_solution.csv, or" in text for text in found.remarks)
    write(tmp_path / "data/ILSVRC2012_validation_ground_truth.txt", "1\n2\n3\n")
    with pytest.raises(InputError, match=r"meta\.mat is not there"):
        listed("imagenet", tmp_path)


def test_imagenet_by_file_prefixes_has_the_same_classes(tmp_path):
    for k, synset in enumerate(sets.SYNSETS):
        write(tmp_path / f"{synset}_7.JPEG", coded(k, "jpg"))
    assert [file.label for file in listed("imagenet", tmp_path).files] == [*CLASSES]


def test_imagenet_as_a_zip_of_edm(tmp_path):
    found = listed("imagenet", edm(tmp_path / "a.zip", 12))
    assert found.files[4].label == 1
    assert "12 of the 1,281,167 train images" in found.remarks[-1]
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("00000/img00000000.png", coded(0))
        archive.writestr("dataset.json", json.dumps({"labels": [["00000/img00000000.png", 1000]]}))
    with pytest.raises(InputError, match="has class 1000, and imagenet has 1000 classes"):
        listed("imagenet", tmp_path / "b.zip")


def test_synsets_of_other_sets_and_copies_are_refused(tmp_path):
    sets.imagenet_train(tmp_path / "train")
    write(tmp_path / "train/n00007846/n00007846_1.JPEG", coded(0, "jpg"))
    with pytest.raises(InputError, match=r"1 images are of synsets that are none of the 1,000"):
        listed("imagenet", tmp_path)
    shutil.rmtree(tmp_path / "train/n00007846")
    sets.imagenet_train(tmp_path / "copy/train")
    with pytest.raises(InputError, match="are one image; name the folder of one"):
        listed("imagenet", tmp_path)


def test_cmyk_files_of_imagenet_are_converted_and_said(tmp_path):
    at = tmp_path / "train/n01739381/n01739381_1309.JPEG"
    at.parent.mkdir(parents=True)
    Image.fromarray(picture(0)).convert("CMYK").save(at, "JPEG")
    source = open_source("imagenet", tmp_path, {})
    source.check(None, **CHECK)
    (pixels,) = source.pictures(source.listing().files)
    np.testing.assert_array_equal(pixels, np.asarray(Image.open(at).convert("RGB")))
    assert any("known to be CMYK" in text for text in source.listing().remarks)


def test_a_limit_takes_a_part_of_the_validation_split_and_mixes_classes(tmp_path):
    sets.imagenet_train(tmp_path / "train")
    sets.imagenet_val(tmp_path / "val", 8)
    assert sum(f.split == "validation" for f in listed("imagenet", tmp_path, limit=3).files) == 3


# ---------------------------------------------------------------- faces


def test_celebahq_of_npy_in_the_split_of_taming(tmp_path):
    source = open_source("celebahq", sets.celebahq(tmp_path), {})
    files = source.listing().files
    assert [f.name for f in files if f.split == "validation"] == ["00007", "00008"]
    np.testing.assert_array_equal(next(source.pictures(files)), picture(0))
    source.check(None, **CHECK)
    assert "8 of the 25,000 train images of celebahq are here: a part" in source.listing().remarks


@pytest.mark.parametrize("name", ["CelebA-HQ-img/{}.jpg", "{:05d}.jpg", "x/{:05d}.png"])
def test_other_copies_of_celebahq_have_the_same_names_and_splits(name, tmp_path):
    sets.celebahq(tmp_path / "npy")
    lists = [(tmp_path / "npy" / f"celebahq{s}.txt").read_text() for s in ("train", "validation")]
    for i in range(10):
        write(tmp_path / "b" / name.format(i), coded(i, name[-3:]))
    for text, word in zip(lists, ("train", "validation"), strict=True):
        write(tmp_path / f"b/celebahq{word}.txt", text)
    assert table(listed("celebahq", tmp_path / "b")) == table(listed("celebahq", tmp_path / "npy"))


def test_a_copy_that_counts_from_one_is_counted_from_nought(tmp_path):
    for i in (1, 2, 30_000):
        write(tmp_path / f"{i:05d}.jpg", coded(i, "jpg"))
    names = [file.name for file in listed("celebahq", tmp_path, split="all").files]
    assert names == ["00000", "00001", "29999"]


def test_the_partition_of_celeba(tmp_path):
    for i in range(3):
        write(tmp_path / f"CelebA-HQ-img/{i}.jpg", coded(i, "jpg"))
    write(tmp_path / "list_eval_partition.txt", "000001.jpg 0\n000002.jpg 1\n000003.jpg 2\n")
    rows = "idx orig_idx orig_file\n0 0 000003.jpg\n1 1 000001.jpg\n2 2 000002.jpg\n"
    write(tmp_path / "CelebA-HQ-to-CelebA-mapping.txt", rows)
    found = table(listed("celebahq", tmp_path, split="celeba"))
    assert [found[f"0000{i}"][0] for i in range(3)] == ["test", "train", "validation"]


def test_ffhq_official_and_of_taming_are_two_splits(tmp_path):
    sets.ffhq(tmp_path)
    official = table(listed("ffhq", tmp_path))
    assert [n for n, (s, _) in official.items() if s == "validation"] == ["60000", "69999"]
    write(tmp_path / "ffhqtrain.txt", "00001.png\n60000.png\n00999.png\n59999.png\n")
    write(tmp_path / "ffhqvalidation.txt", "69999.png\n00000.png\n01000.png\n")
    taming = table(listed("ffhq", tmp_path, split="taming"))
    assert [n for n, (s, _) in taming.items() if s == "train"] == [
        "00001",
        "00999",
        "59999",
        "60000",
    ]
    assert {s for s, _ in table(listed("ffhq", tmp_path, split="all")).values()} == {""}


def test_ffhq_in_one_folder_has_the_same_names(tmp_path):
    sets.ffhq(tmp_path / "a")
    for file in (tmp_path / "a").rglob("*.png"):
        write(tmp_path / "b" / file.name, file.read_bytes())
    one, other = (open_source("ffhq", tmp_path / name, {}) for name in "ab")
    assert table(one.listing()) == table(other.listing())


FACES = {
    "no list": (lambda p: (p / "celebahqtrain.txt").unlink(), r"celebahqtrain\.txt is not here"),
    "in both": (
        lambda p: write(p / "celebahqvalidation.txt", "imgHQ00000.npy"),
        r"00000 is in celebahqtrain\.txt too",
    ),
    "no face": (lambda p: write(p / "celebahqtrain.txt", "a.npy"), "'a.npy' is no name of a face"),
    "nothing of it": (
        lambda p: write(p / "celebahqvalidation.txt", "imgHQ20000.npy"),
        r"none of the 1 images of celebahqvalidation\.txt is here, such as 20000",
    ),
    "two copies": (lambda p: write(p / "00003.jpg", coded(3, "jpg")), "are one face"),
}


@pytest.mark.parametrize("case", FACES)
def test_broken_faces_are_refused(case, tmp_path):
    breaks, message = FACES[case]
    sets.celebahq(tmp_path)
    breaks(tmp_path)
    with pytest.raises(InputError, match=message):
        listed("celebahq", tmp_path)


def test_names_of_a_list_that_are_not_there_are_counted(tmp_path):
    sets.celebahq(tmp_path)
    (tmp_path / "imgHQ00003.npy").unlink()
    remarks = listed("celebahq", tmp_path).remarks
    assert "1 images of celebahqtrain.txt are not here, such as 00003" in remarks


def test_an_npy_of_another_form_is_refused(tmp_path):
    sets.celebahq(tmp_path)
    np.save(tmp_path / "imgHQ00003.npy", np.zeros((1, 3, 8, 8), np.float32))
    with pytest.raises(InputError, match=r"is float32 \(1, 3, 8, 8\); the npy of CelebA-HQ"):
        open_source("celebahq", tmp_path, {}).check(None, **CHECK)


def test_thumbnails_beside_images_are_not_mixed(tmp_path):
    sets.ffhq(tmp_path)
    write(tmp_path / "thumbnails128x128/00000/00000.png", coded(0))
    with pytest.raises(InputError, match="hold the same faces; name one of them"):
        listed("ffhq", tmp_path)


# ---------------------------------------------------------------- lsun


def test_lsun_of_lmdb_and_exported_is_the_same_data_set(tmp_path):
    pytest.importorskip("lmdb")
    packed = sets.lsun(tmp_path / "lmdb")
    found = listed("lsun", packed, category="church_outdoor")
    assert [f.split for f in found.files] == ["train"] * 10 + ["validation"] * 2
    assert "10 of the 126,227 train images of lsun are here: a part" in found.remarks
    sets.lsun_exported(tmp_path / "train")
    exported = open_source("lsun", tmp_path / "train", {"category": "church_outdoor"})
    names = [f.name for f in exported.listing().files]
    assert names == [f.name for f in found.files if f.split == "train"]
    source = open_source("lsun", packed, {"category": "church_outdoor"})
    one, other = (next(s.pictures(s.listing().files)) for s in (source, exported))
    np.testing.assert_array_equal(one, other)
    source.check(None, **CHECK)
    exported.check(None, **CHECK)


def test_the_lists_of_compvis_split_both(tmp_path):
    pytest.importorskip("lmdb")
    asked = {"category": "church_outdoor", "split": "compvis"}
    sets.lsun(tmp_path / "a")
    sets.lsun_exported(tmp_path / "b/churches")
    rows = []
    for name in "ab":
        sets.compvis_lists(tmp_path / name)
        found = listed("lsun", tmp_path / name, **asked)
        rows.append(table(found))
        assert "7 of the 121,227 train images of lsun are here: a part" in found.remarks
    assert rows[0] == rows[1]
    assert [s for s, _ in rows[0].values()].count("validation") == 3
    source = open_source("lsun", tmp_path / "a", asked)
    assert len([*source.pictures(source.listing().files)]) == 10


def test_broken_lsun_is_refused(tmp_path):
    pytest.importorskip("lmdb")
    sets.lsun(tmp_path)
    with pytest.raises(InputError, match="no bedroom_train_lmdb in it, but church_outdoor"):
        listed("lsun", tmp_path, category="bedroom")
    with pytest.raises(InputError, match="unknown category of LSUN 'church'"):
        listed("lsun", tmp_path, category="church")
    with pytest.raises(InputError, match=r"church_outdoor_train\.txt, church_outdoor_val\.txt of"):
        listed("lsun", tmp_path, category="church_outdoor", split="compvis")
    (tmp_path / "x").mkdir()
    with pytest.raises(InputError, match=r"neither data\.mdb of an lmdb nor images"):
        listed("lsun", tmp_path / "x", category="church_outdoor")


# ---------------------------------------------------------------- cifar10


def test_cifar10_of_its_authors(tmp_path):
    source = open_source("cifar10", sets.cifar10(tmp_path), {})
    found = source.listing()
    assert [f.split for f in found.files] == ["train"] * 20 + ["validation"] * 4
    np.testing.assert_array_equal(next(source.pictures(found.files[5:])), picture(11, 32))
    assert found.files[5].label == 1
    source.check(None, **CHECK)
    assert any("data_batch_1 is not the file of CIFAR-10's authors" in t for t in found.remarks)


def test_cifar10_as_pictures_keeps_its_numbers(tmp_path):
    for i, name in enumerate(("plane", "car", "bird", "truck")):
        write(tmp_path / f"cifar_train/{name}_{i:05d}.png", coded(i, side=32))
    assert [f.label for f in listed("cifar10", tmp_path).files] == [2, 1, 0, 9]
    write(tmp_path / "cifar_train/boat_00009.png", coded(0))
    with pytest.raises(InputError, match=r"boat_00009\.png is of no class"):
        listed("cifar10", tmp_path)


class _Calls:
    def __reduce__(self):
        return eval, ("print('called')",)


BATCHES = {
    "code": (_Calls(), r"names builtins\.eval, which no batch"),
    "wrong count": (
        {"data": np.zeros((3, 3072), np.uint8), "labels": [0]},
        "3 images with 1 labels",
    ),
    "wrong class": ({"data": np.zeros((1, 3072), np.uint8), "labels": [10]}, "outside of 0 to 9"),
}


@pytest.mark.parametrize("case", BATCHES)
def test_broken_batches_are_refused_and_never_run(case, tmp_path, capsys):
    sets.cifar10(tmp_path)
    held, message = BATCHES[case]
    write(tmp_path / "cifar-10-batches-py/data_batch_3", pickle.dumps(held))
    with pytest.raises(InputError, match=message):
        listed("cifar10", tmp_path)
    assert "called" not in capsys.readouterr().out


# ---------------------------------------------------------------- downsampled imagenet


@pytest.mark.parametrize("npz", [False, True])
def test_downsampled_imagenet_of_its_authors(tmp_path, npz):
    source = open_source("imagenet_small", sets.small_imagenet(tmp_path, npz=npz), {})
    found = source.listing()
    assert [f.split for f in found.files] == ["train"] * 8 + ["validation"] * 4
    assert [f.label for f in found.files[:4]] == [0, 333, 666, 999]
    chosen = [found.files[i] for i in (9, 1, 6)]
    for pixels, number in zip(source.pictures(chosen), (21, 1, 12), strict=True):
        np.testing.assert_array_equal(pixels, picture(number, 32))
    source.check(None, **CHECK)
    assert any("not the order of WordNet ids" in text for text in found.remarks)
    assert any("train_data_batch_3, train_data_batch_4" in text for text in found.remarks)
    assert len({f.name for f in found.files}) == 12


SMALL = {
    "code": (_Calls(), r"names builtins\.eval, which no batch"),
    "shape": ({"data": np.zeros((1, 3000), np.uint8), "labels": [1]}, r"uint8 \(N, 192\) or"),
    "type": ({"data": np.zeros((1, 3072)), "labels": [1]}, "data is float64"),
    "labels": ({"data": np.zeros((2, 3072), np.uint8), "labels": [1]}, "2 images with 1 labels"),
    "class": ({"data": np.zeros((1, 3072), np.uint8), "labels": [0]}, "outside of 1 to 1,000"),
    "size": ({"data": np.zeros((1, 768), np.uint8), "labels": [1]}, "a folder of one size"),
    "keys": ({"images": 1}, "not a readable batch of downsampled ImageNet"),
}


@pytest.mark.parametrize("case", SMALL)
def test_broken_batches_of_imagenet_are_refused_and_never_run(case, tmp_path, capsys):
    sets.small_imagenet(tmp_path)
    held, message = SMALL[case]
    write(tmp_path / "train_data_batch_2", pickle.dumps(held))
    with pytest.raises(InputError, match=message):
        listed("imagenet_small", tmp_path)
    assert "called" not in capsys.readouterr().out


def test_folders_of_batches_that_are_none_or_two_are_refused(tmp_path):
    with pytest.raises(InputError, match="no batch in it; allowed"):
        listed("imagenet_small", tmp_path)
    for name in ("a", "b"):
        sets.small_imagenet(tmp_path / name)
    with pytest.raises(InputError, match="batches lie there twice"):
        listed("imagenet_small", tmp_path)
    objects = tmp_path / "c"
    objects.mkdir()
    np.savez(objects / "val_data.npz", data=np.array([{}], dtype=object), labels=[1])
    with pytest.raises(InputError, match="not a readable batch"):
        listed("imagenet_small", objects)


# ---------------------------------------------------------------- coco


@pytest.mark.parametrize("year", [2014, 2017])
def test_coco_with_captions(year, tmp_path):
    found = listed("coco", sets.coco(tmp_path, year), year=year)
    assert [f.split for f in found.files] == ["train"] * 4 + ["validation"] * 4
    assert found.files[0].caption == "image 139 caption 1"
    assert any("several captions: the first of each" in text for text in found.remarks)
    drawn = {f.caption for f in listed("coco", tmp_path, year=year, caption="drawn").files}
    assert any(text.endswith("2") for text in drawn)
    assert len(drawn) == 4


def batch_of(tmp_path, regions, crop="center"):
    source = open_source("coco", sets.coco(tmp_path), {"regions": regions})
    listing = source.listing()
    files = [f for f in listing.files if f.split == "validation"]
    read = read_images(
        source, files, resolution=16, crop=crop, resize="pil-bicubic", shown=listing.regions
    )
    return listing, files, read


def test_boxes_of_things(tmp_path):
    listing, files, read = batch_of(tmp_path, "things", "squash")
    assert listing.regions.classes == 4
    assert listing.facts.boxes
    assert read.box_labels[0].tolist() == [0, 2, 1]
    np.testing.assert_allclose(read.boxes[0, 0], [10 / 48, 10 / 32, 30 / 48, 30 / 32])
    assert read.box_labels[files.index(files[3])].tolist() == [-1, -1, -1]
    assert any("1 boxes of validation without width or height" in t for t in listing.remarks)


def test_layouts_by_the_rule_of_taming(tmp_path):
    listing, files, read = batch_of(tmp_path, "taming", "squash")
    assert [f.name[-7:-4] for f in files] == ["139", "285", "632"]  # 724 has one object
    ids = sorted(["1", "3", "44", "90", "92", "125"])
    assert listing.regions.classes == 6
    assert read.box_labels.shape == (3, 30)
    assert [ids[k] for k in read.box_labels[1] if k >= 0] == ["1", "90", "125"]  # crowds stay
    assert any(
        "1 images of validation have no layout by the rule taming" in t for t in listing.remarks
    )


def test_layouts_by_the_rule_of_sg2im(tmp_path):
    _, files, read = batch_of(tmp_path, "sg2im", "squash")
    assert [f.name[-7:-4] for f in files] == ["139", "285", "632"]
    assert read.box_labels.shape == (3, 8)
    assert (read.box_labels[0] >= 0).sum() == 3  # the box of 1 x 1 is below 2 %


def test_the_map_of_things_and_stuff(tmp_path):
    listing, _, read = batch_of(tmp_path, "map")
    assert (listing.regions.classes, listing.facts.masks) == (182, True)
    assert sorted(np.unique(read.masks[0]).tolist()) == [0, 1, 182]
    assert np.flatnonzero(read.box_labels[0] >= 0).tolist() == [0, 181]
    open_source("coco", tmp_path, {"regions": "map"}).check(None, **CHECK)


def test_ids_choose_the_validation_images(tmp_path):
    sets.coco(tmp_path)
    write(tmp_path / "ids.txt", "000000000632\n139\n")
    found = listed("coco", tmp_path, ids="ids.txt")
    names = [f.name for f in found.files if f.split == "validation"]
    assert names == ["validation/000000000139.jpg", "validation/000000000632.jpg"]
    write(tmp_path / "ids.txt", "5\n")
    with pytest.raises(InputError, match=r"none of the 1 images of ids\.txt is here, such as 5"):
        listed("coco", tmp_path, ids="ids.txt")


def change(folder, name, edit):
    """Edit a JSON of annotations."""
    file = folder / f"annotations/{name}.json"
    held = json.loads(file.read_text())
    edit(held)
    file.write_text(json.dumps(held))


COCO = {
    "captions without images": (
        "none",
        lambda p: change(p, "captions_val2017", lambda d: d["images"].pop()),
        r"annotations are of 1 images that it does not name, such as 724",
    ),
    "box outside": (
        "things",
        lambda p: change(
            p, "instances_val2017", lambda d: d["annotations"][0].update(bbox=[40, 0, 20, 4])
        ),
        r"the box of annotation 139000, \[40\.0, 0\.0, 20\.0, 4\.0\], lies outside",
    ),
    "category": (
        "things",
        lambda p: change(
            p, "instances_val2017", lambda d: d["annotations"][0].update(category_id=7)
        ),
        "is of category 7, which the file does not name",
    ),
    "no stuff": (
        "taming",
        lambda p: (p / "annotations/stuff_val2017.json").unlink(),
        r"stuff_val2017\.json is not here",
    ),
    "no instances": (
        "things",
        lambda p: (p / "annotations/instances_val2017.json").unlink(),
        r"instances_val2017\.json is not here",
    ),
    "cut off": (
        "none",
        lambda p: write(p / "annotations/captions_val2017.json", '{"images": ['),
        "not annotations of COCO",
    ),
    "no maps": (
        "map",
        lambda p: (p / "stuffthingmaps_trainval2017/val2017/000000000139.png").unlink(),
        "1 images have no map, such as 000000000139",
    ),
    "no folder": ("none", lambda p: [shutil.rmtree(p / f"{w}2017") for w in ("train", "val")],
                  "neither train2017/ nor val2017/"),
}  # fmt: skip


@pytest.mark.parametrize("case", COCO)
def test_broken_annotations_are_refused(case, tmp_path):
    regions, breaks, message = COCO[case]
    sets.coco(tmp_path)
    breaks(tmp_path)
    with pytest.raises(InputError, match=message):
        listed("coco", tmp_path, regions=regions)


def test_a_map_of_another_size_or_form_is_named(tmp_path):
    sets.coco(tmp_path)
    top = tmp_path / "stuffthingmaps_trainval2017/val2017"
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(top / "000000000139.png")
    Image.fromarray(np.zeros((32, 48, 3), np.uint8)).save(top / "000000000285.png")
    with pytest.raises(InputError, match="2 of 8 images cannot be used") as error:
        open_source("coco", tmp_path, {"regions": "map"}).check(None, **CHECK)
    assert "139.png: a map of 8 x 8 pixels, and its image is 48 x 32" in str(error.value)
    assert "285.png: a map of mode RGB" in str(error.value)


def test_a_changed_map_or_annotation_changes_the_digest(tmp_path):
    sets.coco(tmp_path)
    source = open_source("coco", tmp_path, {"regions": "map"})
    before = source.digest(None)
    at = tmp_path / "stuffthingmaps_trainval2017/val2017/000000000139.png"
    Image.fromarray(np.ones((32, 48), np.uint8)).save(at)
    assert source.digest(None) != before
