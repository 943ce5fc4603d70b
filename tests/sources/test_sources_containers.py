"""Containers: each is read as its tools write it, or refused in one sentence where it is broken."""

import io
import sys
import tarfile

import numpy as np
import pandas as pd
import pytest
from containers import NEEDS, WRITERS, coded, picture, write_tar

from ldmbench.data.images import read_images
from ldmbench.errors import InputError
from ldmbench.sources.images.splits import shard_images
from ldmbench.sources.kinds import open_source

COUNT = 25
CHECK = {"resolution": 16, "crop": "center", "upscale": False}


def made(kind, tmp_path, count=COUNT):
    """Write a container and return its source; skips where its library is not installed."""
    if kind in NEEDS:
        pytest.importorskip(NEEDS[kind])
    write, name = WRITERS[kind]
    return open_source(kind, write(tmp_path / name, count), {})


@pytest.mark.parametrize("kind", WRITERS)
def test_each_container_gives_the_same_images_captions_and_classes(kind, tmp_path):
    source = made(kind, tmp_path)
    source.check(None, **CHECK)
    files = source.listing().files
    assert len(files) == COUNT
    lossless = kind not in ("lmdb",)
    for i, pixels in enumerate(source.pictures(files)):
        if lossless:
            np.testing.assert_array_equal(pixels, picture(i))
        assert pixels.shape == (16, 16, 3)
    if kind != "lmdb":
        assert [file.label for file in files] == [i % 3 for i in range(COUNT)]
    if kind in ("webdataset", "parquet", "huggingface", "imagefolder"):
        assert source.captions(files)[4] == "picture 4"
    assert source.digest(None) == open_source(kind, source.path, {}).digest(None)


@pytest.mark.parametrize("kind", WRITERS)
def test_images_are_read_in_any_order(kind, tmp_path):
    source = made(kind, tmp_path)
    kept = {"reference": 5, "validation": 5}
    files = shard_images(source.listing().files, "train", (0, 15), mixed=True, **kept)
    batch = read_images(source, files, resolution=16, crop="none", resize="area")
    ordered = list(source.pictures(source.listing().files))
    at = {file.name: i for i, file in enumerate(source.listing().files)}
    for image, file in zip(batch.images, files, strict=True):
        np.testing.assert_array_equal(image, ordered[at[file.name]])


def test_names_of_shards_say_the_split(tmp_path):
    for name, first in (("train-00000-of-00001", 0), ("validation-00000-of-00001", 20)):
        rows = {"image": [{"bytes": coded(first + i), "path": None} for i in range(4)]}
        pd.DataFrame(rows).to_parquet(tmp_path / f"{name}.parquet")
    files = open_source("parquet", tmp_path, {}).listing().files
    assert [f.split for f in files] == ["train"] * 4 + ["validation"] * 4


def test_splits_of_a_saved_dict_are_splits(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = {"image": [{"bytes": coded(i), "path": None} for i in range(3)], "label": [0, 1, -1]}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    one = datasets.Dataset.from_dict(rows, features=features)
    datasets.DatasetDict({"train": one, "test": one}).save_to_disk(str(tmp_path / "d"))
    listing = open_source("huggingface", tmp_path / "d", {}).listing()
    assert [f.split for f in listing.files] == ["test"] * 3 + ["train"] * 3
    assert [f.label for f in listing.files] == [0, 1, -1] * 2
    assert "2 images have no class" in listing.remarks[0]


def test_columns_are_named_where_they_are_not_usual(tmp_path):
    rows = {"bild": [coded(0)], "ziel": ["cat"], "worte": ["a cat"], "id": [7]}
    pd.DataFrame(rows).to_parquet(tmp_path / "a.parquet")
    asked = {"image": "bild", "label": "ziel", "caption": "worte"}
    listing = open_source("parquet", tmp_path, asked).listing()
    assert (listing.files[0].caption, listing.files[0].label) == ("a cat", 0)
    assert listing.remarks == ("columns that nothing reads: id",)
    with pytest.raises(InputError, match=r"no column bilt for data\.image .did you mean 'bild'"):
        open_source("parquet", tmp_path, {"image": "bilt"}).listing()


def test_a_tar_of_the_library_is_read(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    with webdataset.TarWriter(str(tmp_path / "train-000.tar")) as out:
        for i in range(3):
            sample = {"__key__": f"{i:04d}", "png": picture(i), "cls": i, "json": {"text": f"t{i}"}}
            out.write(sample)
    files = open_source("webdataset", tmp_path, {}).listing().files
    told = [(f.split, f.label, f.caption) for f in files]
    assert told == [("train", i, f"t{i}") for i in range(3)]


def broken_tar(tmp_path, *samples):
    """Write a tar of samples."""
    write_tar(tmp_path / "0.tar", samples)
    return tmp_path


def cut(file, keep):
    """Keep the first bytes of a file."""
    file.write_bytes(file.read_bytes()[:keep])


TARS = {
    "no image": ([("a", {"png": coded(0)}), ("b", {"txt": "x"})], r"1 samples have no image.*/b"),
    "two images": ([("a", {"png": coded(0), "jpg": coded(0, "jpg")})], "png and jpg are both"),
    "apart": (
        [("a", {"png": coded(0)}), ("b", {"png": coded(1)}), ("a", {"txt": "x"})],
        "members of a do not stand one after the other",
    ),
    "failed": ([("a", {"png": coded(0), "json": '{"status": "failed"}'})], "status failed"),
    "json": ([("a", {"png": coded(0), "json": "{"})], "not readable JSON"),
    "latin": ([("a", {"png": coded(0), "txt": b"\xff"})], "not UTF-8"),
}


@pytest.mark.parametrize("case", TARS)
def test_broken_samples_are_refused(case, tmp_path):
    samples, message = TARS[case]
    with pytest.raises(InputError, match=message):
        open_source("webdataset", broken_tar(tmp_path, *samples), {}).listing()


def test_tars_that_are_cut_off_or_compressed_are_refused(tmp_path):
    folder = WRITERS["webdataset"][0](tmp_path / "tars", 10)
    cut(folder / "00000.tar", 9000)
    with pytest.raises(InputError, match=r"00000\.tar: a tar ends with two empty blocks"):
        open_source("webdataset", folder, {}).listing()
    with tarfile.open(tmp_path / "b.tar", "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("a.txt"), io.BytesIO())
    with pytest.raises(InputError, match="compressed: unpack it with gunzip"):
        open_source("webdataset", tmp_path / "b.tar", {}).listing()


CUT = {"parquet": "not a readable parquet", "hdf5": "not a readable HDF5", "lmdb": "cut off"}


@pytest.mark.parametrize("kind", CUT)
def test_files_that_are_cut_off_are_refused(kind, tmp_path):
    source = made(kind, tmp_path)
    files = [source.path] if source.path.is_file() else sorted(source.path.iterdir())
    cut(files[0], files[0].stat().st_size // 2)
    with pytest.raises(InputError, match=CUT[kind]):
        open_source(kind, source.path, {}).listing()


def test_a_saved_data_set_that_is_cut_off_is_refused(tmp_path):
    source = made("huggingface", tmp_path)
    arrow = next(source.path.glob("*.arrow"))
    cut(arrow, 100)
    with pytest.raises(InputError, match="not a readable saved data set"):
        source.listing()


def test_damaged_images_are_all_named(tmp_path):
    samples = [(f"{i}", {"png": coded(i) if i % 2 else b"none"}) for i in range(4)]
    source = open_source("webdataset", broken_tar(tmp_path, *samples), {})
    with pytest.raises(InputError, match="2 of 4 images cannot be used") as error:
        source.check(None, **CHECK)
    assert "0/0.png: not a readable" in str(error.value)
    with pytest.raises(InputError, match="4 of 4 images") as error:
        source.check(None, **{**CHECK, "resolution": 32})


def test_a_value_that_is_no_image_is_named(tmp_path):
    library = pytest.importorskip("lmdb")
    environment = library.open(str(tmp_path / "a"), map_size=2**20)
    with environment.begin(write=True) as transaction:
        transaction.put(b"k", b"text")
    environment.close()
    with pytest.raises(InputError, match="a/k: not a readable"):
        open_source("lmdb", tmp_path / "a", {}).check(None, **CHECK)


EMPTY = {
    "webdataset": "no .tar file",
    "parquet": "no .parquet file",
    "huggingface": "neither dataset_info",
    "lmdb": "no data.mdb file",
    "hdf5": "no .hdf5 or .h5 file",
    "npz": "no .npz file",
    "imagefolder": "no image in it",
    "edm": "no image in it",
}


@pytest.mark.parametrize("kind", EMPTY)
def test_a_place_without_the_container_says_what_is_expected(kind, tmp_path):
    if kind in NEEDS:
        pytest.importorskip(NEEDS[kind])
    with pytest.raises(InputError, match=EMPTY[kind]):
        open_source(kind, tmp_path, {}).listing()


def test_forms_that_are_demanded_are_refused_where_they_lack(tmp_path):
    (tmp_path / "a.png").write_bytes(coded(0))
    with pytest.raises(InputError, match=r"no metadata\.jsonl or"):
        open_source("imagefolder", tmp_path, {}).listing()
    with pytest.raises(InputError, match=r"no dataset\.json at its top"):
        open_source("edm", tmp_path, {}).listing()


def test_arrays_of_another_form_are_refused(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as held:
        held["imgs"] = np.zeros((2, 3, 8, 8), np.uint8)
    with pytest.raises(InputError, match=r"imgs is uint8 \(2, 3, 8, 8\); images are"):
        open_source("hdf5", tmp_path, {}).listing()


@pytest.mark.parametrize("kind", ["huggingface", "lmdb", "hdf5", "parquet"])
def test_a_library_that_is_not_there_is_named_with_its_command(kind, tmp_path, monkeypatch):
    source = made(kind, tmp_path)
    name = {**NEEDS, "parquet": "pyarrow"}[kind]
    for module in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=rf"library {name}, .*pip install 'ldmbench\[data\]'"):
        open_source(kind, source.path, {}).listing()


def test_a_container_that_changed_is_listed_and_digested_anew(tmp_path):
    source = made("webdataset", tmp_path)
    before = source.digest(None)
    write_tar(source.path / "00003.tar", [("x", {"png": coded(99)})])
    assert len(source.listing().files) == COUNT + 1
    assert source.digest(None) != before
