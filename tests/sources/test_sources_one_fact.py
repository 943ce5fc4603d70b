"""Data sets that are right but for one fact: read right and said, or refused in one sentence."""

import json
import struct
import tarfile

import numpy as np
import pytest
from containers import coded, picture, write_tar
from named_sets import write
from PIL import Image

from ldmbench.errors import InputError
from ldmbench.sources.images.rows import class_in
from ldmbench.sources.images.splits import split_images
from ldmbench.sources.kinds import kind_at, open_source

CHECK = {"resolution": 16, "crop": "center", "upscale": False}
SYNSET, OTHER = "n01440764", "n01443537"


def read(kind, path, **options):
    """Return name -> split, class and caption, and what is said."""
    listing = open_source(kind, path, options).listing()
    rows = {file.name: (file.split, file.label, file.caption) for file in listing.files}
    return rows, " | ".join(listing.said)


def refusal(kind, path, **options):
    """Return why a source is refused, by its listing or by a look at its images."""
    source = open_source(kind, path, options)
    with pytest.raises(InputError) as raised:
        source.check(None, **CHECK)
    return str(raised.value)


def parquet(file, rows, names=None):
    """Write images with classes; names are a ClassLabel's."""
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    file.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows)
    if names:
        label = {"names": names, "_type": "ClassLabel"}
        said = json.dumps({"info": {"features": {"label": label}}})
        table = table.replace_schema_metadata({"huggingface": said})
    pq.write_table(table, file)


def row(i, label=0):
    return {"image": {"bytes": coded(i), "path": None}, "label": label}


# ---------------------------------------------------------------- shards


def test_shards_that_a_series_lacks_are_counted(tmp_path):
    for shard in (0, 2):
        write_tar(tmp_path / f"tars/{shard:05d}.tar", [(str(shard), {"png": coded(shard)})])
        parquet(tmp_path / f"tables/train-{shard:05d}-of-00004.parquet", [row(shard)])
    assert (
        "1 of 3 shards are not here, such as 00001.tar" in read("webdataset", tmp_path / "tars")[1]
    )
    said = read("parquet", tmp_path / "tables")[1]
    assert "2 of 4 shards are not here, such as train-00001-of-00004.parquet" in said


def test_folders_of_splits_may_lie_below_others(tmp_path):
    for i, split in enumerate(("train", "validation", "test")):
        parquet(tmp_path / f"default/{split}/0000.parquet", [row(i)])
    assert [split for split, *_ in read("parquet", tmp_path)[0].values()] == [
        "test",
        "train",
        "validation",
    ]


def test_shards_beside_those_of_a_split_are_counted(tmp_path):
    for i, name in enumerate(("train", "extra")):
        parquet(tmp_path / f"{name}-0.parquet", [row(i)])
    assert "1 images lie outside the splits, such as extra-0" in read("parquet", tmp_path)[1]


def test_links_to_folders_of_shards_are_followed_and_loops_are_refused(tmp_path):
    write_tar(tmp_path / "real/1.tar", [("1", {"png": coded(1)})])
    write_tar(tmp_path / "set/0.tar", [("0", {"png": coded(0)})])
    (tmp_path / "set/more").symlink_to(tmp_path / "real")
    assert len(read("webdataset", tmp_path / "set")[0]) == 2
    (tmp_path / "set/up").symlink_to(tmp_path / "set")
    assert "a link to a folder that holds it" in refusal("webdataset", tmp_path / "set")
    assert "a link to a folder that holds it" in refusal("ffhq", tmp_path / "set")


def test_classes_are_numbers_that_can_be(tmp_path):
    parquet(tmp_path / "one.parquet", [row(0, 1), row(1, 2)])
    assert "no image is of class 0: classes 1 to 2 are used" in read("parquet", tmp_path)[1]
    parquet(tmp_path / "floats.parquet", [row(0, 0.0), row(1, float("nan")), row(2, 2.0)])
    rows, _ = read("parquet", tmp_path / "floats.parquet")
    assert [label for _, label, _ in rows.values()] == [0, -1, 2]
    parquet(tmp_path / "huge.parquet", [row(0, 2**40)])
    assert "a class has the number 1099511627776" in refusal("parquet", tmp_path / "huge.parquet")
    assert class_in("3.5") == "3.5"


def test_a_column_of_classes_without_one_is_said(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    columns = {"image": [coded(0)], "label": pa.array([None], pa.int64())}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    assert "the column label says no class" in read("parquet", tmp_path)[1]


def test_class_names_have_one_order_in_all_files(tmp_path):
    parquet(tmp_path / "train-0.parquet", [row(0)], ["cat", "dog"])
    parquet(tmp_path / "validation-0.parquet", [row(1)], ["dog", "cat"])
    assert "so one number is two classes" in refusal("parquet", tmp_path)
    datasets = pytest.importorskip("datasets")
    for split, names in (("train", ["a", "b"]), ("validation", ["b", "a"])):
        features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=names)}
        held = {"image": [{"bytes": coded(0), "path": None}], "label": [0]}
        one = datasets.Dataset.from_dict(held, features=datasets.Features(features))
        one.save_to_disk(str(tmp_path / "saved" / split))
    write(tmp_path / "saved/dataset_dict.json", json.dumps({"splits": ["train", "validation"]}))
    assert "so one number is two classes" in refusal("huggingface", tmp_path / "saved")


def test_classes_beyond_the_names_and_columns_that_are_there_twice(tmp_path):
    parquet(tmp_path / "a.parquet", [row(0, 7)], ["cat", "dog"])
    assert "an image is of class 7, and its ClassLabel has 2 names" in refusal("parquet", tmp_path)
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    columns = [pa.array([coded(0)]), pa.array([1]), pa.array([2])]
    twice = pa.Table.from_arrays(columns, names=["image", "label", "label"])
    pq.write_table(twice, tmp_path / "a.parquet")
    assert "the column label is there twice" in refusal("parquet", tmp_path)


def test_an_image_that_is_only_a_path_is_refused(tmp_path):
    write(tmp_path / "x.png", coded(0))
    image = {"bytes": None, "path": str(tmp_path / "x.png")}
    parquet(tmp_path / "p/a.parquet", [row(1), {"image": image, "label": 0}])
    assert "and no bytes; embed the images" in refusal("parquet", tmp_path / "p")


def test_a_large_row_group_is_read_by_batches(tmp_path, monkeypatch):
    monkeypatch.setattr("ldmbench.sources.kinds.parquet.LISTED", 3)
    monkeypatch.setattr("ldmbench.sources.kinds.parquet.BATCH", 2)
    parquet(tmp_path / "a.parquet", [row(i, i) | {"text": f"picture {i}"} for i in range(8)])
    source = open_source("parquet", tmp_path, {})
    files = source.listing().files
    assert [(f.label, f.caption) for f in files] == [(i, f"picture {i}") for i in range(8)]
    for i, pixels in zip((5, 0, 7), source.pictures([files[i] for i in (5, 0, 7)]), strict=True):
        np.testing.assert_array_equal(pixels, picture(i))


def test_images_of_a_test_split_alone_are_refused_by_name(tmp_path):
    parquet(tmp_path / "test-00000-of-00001.parquet", [row(0), row(1)])
    files = open_source("parquet", tmp_path, {}).listing().files
    with pytest.raises(InputError, match="all 2 images are of test by their names, such as test-0"):
        split_images(files, "train", reference=1, validation=0)


# ---------------------------------------------------------------- tars


def test_fields_that_a_suite_names_are_read_or_refused(tmp_path):
    fields = {"png": coded(0), "prompt": "a cat", "y": "4"}
    write_tar(tmp_path / "a.tar", [("0", fields)])
    rows, _ = read("webdataset", tmp_path, caption="prompt", label="y")
    assert rows == {"a/0.png": ("", 4, "a cat")}
    assert "no sample has the field promt of data.caption" in refusal(
        "webdataset", tmp_path, caption="promt"
    )


def test_splits_inside_a_tar_are_splits_and_other_folders_are_said(tmp_path):
    names = ("train/cat/0", "train/dog/1", "val/cat/2")
    write_tar(tmp_path / "a.tar", [(name, {"png": coded(0)}) for name in names])
    rows, said = read("webdataset", tmp_path)
    assert [split for split, *_ in rows.values()] == ["train", "train", "validation"]
    assert "2 folders inside the tars are no classes, such as cat" in said


def test_links_in_tars_and_json_without_fields_are_refused(tmp_path):
    write_tar(tmp_path / "a.tar", [("0", {"png": coded(0), "json": "[1]"})])
    assert "[1] is no object of fields" in refusal("webdataset", tmp_path)
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        link = tarfile.TarInfo("1.png")
        link.type, link.linkname = tarfile.LNKTYPE, "0.png"
        tar.addfile(link)
    assert "1.png: a link to 0.png" in refusal("webdataset", tmp_path)
    write(tmp_path / "b.tar.gz", "x")
    assert "b.tar.gz is compressed" in refusal("webdataset", tmp_path)


def test_a_folder_of_img2dataset_is_known_by_its_tars(tmp_path):
    for name in ("00000.tar", "00000.parquet", "00000_stats.json"):
        write(tmp_path / name, "x")
    assert kind_at(tmp_path) == "webdataset"


# ---------------------------------------------------------------- arrays and keys


def test_arrays_of_other_names_are_said(tmp_path):
    images = np.zeros((2, 16, 16, 3), np.uint8)
    np.savez(tmp_path / "a.npz", images, labels=np.arange(2))
    assert "the array labels is not read" in read("npz", tmp_path / "a.npz")[1]
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["imgs"], file["label"] = images, np.arange(2)
    assert "label of a.hdf5 is not read" in read("hdf5", tmp_path / "a.hdf5")[1]
    with h5py.File(tmp_path / "b.hdf5", "w") as file:
        file.create_group("imgs")
    assert "imgs is a group, and no array" in refusal("hdf5", tmp_path / "b.hdf5")
    with h5py.File(tmp_path / "b.hdf5", "w") as file:
        file["imgs"] = h5py.SoftLink("/nowhere")
    assert "not a readable HDF5 file" in refusal("hdf5", tmp_path / "b.hdf5")


def lmdb_at(path, items, **options):
    lmdb = pytest.importorskip("lmdb")
    path.parent.mkdir(parents=True, exist_ok=True)
    environment = lmdb.open(str(path), map_size=2**24, **options)
    with environment.begin(write=True) as transaction:
        for key, value in items.items():
            transaction.put(key.encode(), value)
    environment.close()
    return path


def test_keys_of_an_lmdb_that_are_no_images(tmp_path):
    path = lmdb_at(tmp_path / "x", {"16-00000": coded(0), "length": b"1"})
    rows, said = read("lmdb", path)
    assert len(rows) == 1
    assert "1 keys are no images: length" in said
    path = lmdb_at(tmp_path / "y", {f"{s}-00000": coded(0, side=s) for s in (16, 32)})
    assert "the same images at several sizes" in refusal("lmdb", path)
    assert "the key 16-00000 is not the 40" in refusal("lsun", tmp_path / "x", category="x")


def test_an_lmdb_of_one_file_is_that_file(tmp_path):
    lmdb_at(tmp_path, {"other": coded(1)})
    one = lmdb_at(tmp_path / "one.lmdb", {"mine": coded(0)}, subdir=False)
    assert [*read("lmdb", one)[0]] == ["mine.png"]


def test_records_of_other_features_and_labels_of_other_names(tmp_path):
    from ldmbench.sources.kinds.crc32c import crc32c, masked

    head = struct.pack("<Q", 0)
    record = head + struct.pack("<II", masked(crc32c(head)), masked(crc32c(b"")))
    write(tmp_path / "a-r04.tfrecords", record)
    write(tmp_path / "a-r04.labels", "x")
    assert "a-r04.labels is not read" in read("tfrecords", tmp_path)[1]
    assert "an Example without shape and data" in refusal("tfrecords", tmp_path)


# ---------------------------------------------------------------- folders


def test_folders_that_are_numbers_are_said(tmp_path):
    for name in ("0", "1", "2", "10"):
        write(tmp_path / name / "x.png", coded(0))
    assert "10/ is class 2" in read("folder", tmp_path)[1]


def test_captions_that_nothing_reads_are_said(tmp_path):
    write(tmp_path / "a.png", coded(0))
    write(tmp_path / "a.png.txt", "x")
    write(tmp_path / "README.txt", "x")
    assert "1 files of captions have no image, such as a.png.txt" in read("folder", tmp_path)[1]
    write(tmp_path / "a.txt", "own")
    write(tmp_path / "captions.jsonl", '{"file": "a.png", "text": "table"}\n')
    write(tmp_path / "classes.txt", "dog\ncat\n")
    said = read("folder", tmp_path)[1]
    assert "1 images have a caption in a file of their own and in a table" in said
    assert "classes.txt" in said
    write(tmp_path / "captions.jsonl", '{"file": "b.png", "text": "x"}\n')
    assert "no image of this source is called b.png" in refusal("folder", tmp_path)


def test_tables_with_one_odd_value(tmp_path):
    for i in range(3):
        write(tmp_path / f"{i}.png", coded(i))
    table = "file_name,label\n0.png,0.0\n1.png,10.0\n2.png,{}\n"
    write(tmp_path / "metadata.csv", table.format("2.0"))
    assert [label for _, label, _ in read("folder", tmp_path)[0].values()] == [0, 10, 2]
    write(tmp_path / "metadata.csv", table.format("cat"))
    assert "are names (cat) and numbers" in read("folder", tmp_path)[1]
    write(tmp_path / "metadata.csv", "file_name;label\n0.png;1\n")
    assert "no file_name, but file_name;label" in refusal("folder", tmp_path)
    write(tmp_path / "metadata.csv", table.format("1"))
    captions = {"images": [{"id": 1, "file_name": "0.png"}]}
    captions["annotations"] = [{"id": 1, "image_id": 1, "caption": None}]
    write(tmp_path / "captions_x.json", json.dumps(captions))
    assert "not COCO's captions" in refusal("folder", tmp_path)


def test_names_without_a_prefix_are_said(tmp_path):
    for name in ("plane_0.png", "bare.png"):
        write(tmp_path / name, coded(0))
    said = read("folder", tmp_path, labels="name")[1]
    assert "1 names of images have no _, such as bare.png" in said


# ---------------------------------------------------------------- latents


@pytest.mark.parametrize(
    "name",
    [
        "00000/img-mean-std-00000000.npy",
        "latents_rank00_shard000.safetensors",
        "imagenet256_features/0.npy",
    ],
)
@pytest.mark.parametrize("kind", ["folder", "edm", "imagenet", "webdataset"])
def test_latents_are_named_and_refused(tmp_path, kind, name):
    write(tmp_path / name, "x")
    said = refusal(kind, tmp_path)
    assert f"it holds latents, such as {name}" in said
    assert "give the images that they were made of" in said


def test_a_file_of_latents_is_refused(tmp_path):
    write(tmp_path / "latents_rank00_shard000.safetensors", "x")
    said = refusal("folder", tmp_path / "latents_rank00_shard000.safetensors")
    assert "latents on disk are not read" in said


# ---------------------------------------------------------------- published data sets


def test_faces_beyond_the_last_and_other_pictures(tmp_path):
    write(tmp_path / "00001.png", coded(0))
    write(tmp_path / "000001.png", coded(0))
    assert "1 pictures are not used, such as 000001.png" in read("ffhq", tmp_path)[1]
    write(tmp_path / "70001.png", coded(0))
    assert "70001.png is the number of no face of ffhq" in refusal("ffhq", tmp_path)


def test_faces_that_may_count_from_one_are_said(tmp_path):
    for i in (1, 2):
        write(tmp_path / f"{i:05d}.png", coded(i))
    write(tmp_path / "celebahqtrain.txt", "imgHQ00001.npy\n")
    write(tmp_path / "celebahqvalidation.txt", "imgHQ00002.npy\n")
    assert "00000 is not here: numbers are read as counted from 0" in read("celebahq", tmp_path)[1]


def test_lsun_by_lists_that_share_an_image_and_in_capitals(tmp_path):
    keys = [f"{i:039x}f" for i in range(2)]
    for key in keys:
        write(tmp_path / f"{key.upper()}.png", coded(0))
    write(tmp_path / "bedrooms_train.txt", f"{keys[0]}.webp\n")
    write(tmp_path / "bedrooms_val.txt", f"{keys[0]}.webp\n")
    asked = {"category": "bedroom", "split": "compvis"}
    assert f"{keys[0]} is in bedrooms_train.txt too" in refusal("lsun", tmp_path, **asked)
    write(tmp_path / "bedrooms_val.txt", f"{keys[1]}.webp\n")
    assert [split for split, *_ in read("lsun", tmp_path, **asked)[0].values()] == [
        "train",
        "validation",
    ]


def test_imagenet_with_folders_of_other_names(tmp_path):
    write(tmp_path / f"Train/{SYNSET}/{SYNSET}_1.JPEG", coded(0, "jpg"))
    write(tmp_path / f"valid/{SYNSET}/x.JPEG", coded(1, "jpg"))
    write(tmp_path / f"Train/{SYNSET}/{SYNSET}_2.webp", coded(0, "webp"))
    rows, said = read("imagenet", tmp_path)
    assert [split for split, *_ in rows.values()] == ["train", "validation"]
    assert "1 pictures are not used" in said
    write(tmp_path / f"Train/{SYNSET}/{OTHER}_1.JPEG", coded(0, "jpg"))
    assert f"its folder is {SYNSET} and its name says {OTHER}" in refusal("imagenet", tmp_path)


def test_imagenet_with_two_classes_of_an_image_or_none(tmp_path):
    image = "ILSVRC2012_val_00000001.JPEG"
    write(tmp_path / f"val/{SYNSET}/{image}", coded(0, "jpg"))
    write(tmp_path / "validation_synset.txt", f"{image} {OTHER}\n")
    assert f"its folder is {SYNSET} and validation_synset.txt says" in refusal("imagenet", tmp_path)
    write(tmp_path / "validation_synset.txt", f"{image} {OTHER}\n{image} {SYNSET}\n")
    assert "a file has two WordNet ids" in refusal("imagenet", tmp_path)
    (tmp_path / "validation_synset.txt").unlink()
    for name in ("tench", "goldfish"):
        write(tmp_path / f"train/{name}/1.JPEG", coded(0, "jpg"))
    said = read("imagenet", tmp_path)[1]
    assert "2 training images have no class, such as train/goldfish/1.JPEG" in said


def test_cifar10_is_split_by_words_and_not_by_letters(tmp_path):
    write(tmp_path / "latest/plane_0.png", coded(0, side=32))
    write(tmp_path / "cifar_test/Dog_0.png", coded(1, side=32))
    rows, _ = read("cifar10", tmp_path)
    assert rows["latest/plane_0.png"][0] == "train"
    assert rows["cifar_test/Dog_0.png"][:2] == ("validation", 5)
    write(tmp_path / "train/dog/cat_0.png", coded(0, side=32))
    assert "its folder and name say two" in refusal("cifar10", tmp_path)


def test_places365_without_the_numbers_of_its_categories(tmp_path):
    for name in ("airfield", "zoo"):
        write(tmp_path / f"Train/{name}/1.jpg", coded(0, "jpg"))
    assert (
        "categories_places365.txt is not here: classes are the places of 2 folders"
        in read("places365", tmp_path)[1]
    )
    write(tmp_path / "places365_val.txt", "a.jpg 1\n")
    assert "which says their numbers; put it there" in refusal("places365", tmp_path)
    for text, said in (
        ("/a/airfield 1\n/z/zoo 1\n", "two categories are class of one number"),
        ("/a/airfield 1\n/z/zoo 365\n", "/z/zoo is class 365"),
    ):
        write(tmp_path / "categories_places365.txt", text)
        assert said in refusal("places365", tmp_path)


def maps(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.resize(np.array(values, np.uint8), (16, 16))).save(path)


def test_plan_refuses_maps_with_values_that_are_no_class(tmp_path):
    write(tmp_path / "ade/images/val/a.jpg", coded(0, "jpg"))
    maps(tmp_path / "ade/annotations/val/a.png", [0, 150])
    assert [split for split, *_ in read("ade20k", tmp_path / "ade")[0].values()] == ["validation"]
    write(tmp_path / "ade/sceneCategories.txt", "b bar\n")
    assert "1 images are not in sceneCategories.txt" in read("ade20k", tmp_path / "ade")[1]
    maps(tmp_path / "ade/annotations/val/a.png", [0, 151])
    said = refusal("ade20k", tmp_path / "ade")
    assert "has the value 151, and there are 150 classes, from 1; 0 is of none" in said
    write(tmp_path / "own/a.JPG", coded(0, "jpg"))
    maps(tmp_path / "own/a.PNG", [0, 254])
    said = refusal("landscapes", tmp_path / "own")
    assert "has the value 254, and there are 182 classes, from 0; 255 is of none" in said


def test_lists_of_landscapes(tmp_path):
    for name in ("a", "b", "e\u0301"):
        write(tmp_path / f"{name}.jpg", coded(0, "jpg"))
        maps(tmp_path / f"{name}.png", [0])
    write(tmp_path / "train.txt", "./a.jpg\n\u00e9.jpg\n")
    rows, said = read("landscapes", tmp_path)
    assert [split for split, *_ in rows.values()] == ["train", "train"]
    assert "1 pictures are not used, such as b.jpg" in said
    write(tmp_path / "validation.txt", "a.jpg\n")
    assert "a.jpg is of the split train in another list" in refusal("landscapes", tmp_path)


def coco(folder, annotation, category="person"):
    """Write an image of each split with one annotation."""
    for word in ("train", "val"):
        write(folder / f"{word}2017/1.jpg", coded(0, "jpg"))
        images = [{"id": 1, "file_name": "1.jpg", "width": 16, "height": 16}]
        names = [{"id": 1, "name": category if word == "val" else "person"}]
        for what, rows in (("captions", [{"image_id": 1, "caption": "x"}]), ("instances", [])):
            held = {"images": images, "annotations": rows, "categories": names}
            if what == ("captions" if "caption" in annotation else "instances"):
                held["annotations"] = [annotation | {"id": 7, "image_id": 1}]
            write(folder / f"annotations/{what}_{word}2017.json", json.dumps(held))
    write(folder / "train2017/readme.md", "x")
    return folder


def test_annotations_of_coco_with_one_odd_value(tmp_path):
    assert len(read("coco", coco(tmp_path, {"caption": "x"}))[0]) == 2
    held = json.loads((tmp_path / "annotations/captions_val2017.json").read_text())
    held["images"] *= 2
    write(tmp_path / "annotations/captions_val2017.json", json.dumps(held))
    assert "an image is there twice" in refusal("coco", tmp_path)
    said = refusal("coco", coco(tmp_path, {"caption": None}))
    assert "annotation 7 of image 1 has no caption but None" in said
    for box, why in (
        ([0.1, 0.1, 0.5, 0.5], "boxes seem to be shares of the sides"),
        ([1, 1, float("nan"), 5], "lies outside"),
    ):
        found = coco(tmp_path, {"bbox": box, "category_id": 1})
        assert why in refusal("coco", found, regions="things")
    coco(tmp_path, {"bbox": [1, 1, 5, 5], "category_id": 1}, category="car")
    assert "category 1 is car, and person in" in refusal("coco", tmp_path, regions="things")
