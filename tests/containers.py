"""Small data sets in each container, written as its own tools write them."""

import io
import json
import tarfile
import zipfile

import numpy as np
import pandas as pd
from PIL import Image

SIDE = 16


def picture(i, side=SIDE):
    """Return picture i, uint8 HWC: noise that tells it from others."""
    return np.random.default_rng(i).integers(0, 256, (side, side, 3), dtype=np.uint8)


def coded(i, suffix="png", side=SIDE):
    """Return the bytes of picture i in a format."""
    file = io.BytesIO()
    Image.fromarray(picture(i, side)).save(file, {"jpg": "jpeg"}.get(suffix, suffix), quality=95)
    return file.getvalue()


def write_tar(file, samples):
    """Write samples, each a key and field -> bytes or text, into a tar."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as tar:
        for key, fields in samples:
            for name, data in fields.items():
                data = data.encode() if isinstance(data, str) else data
                info = tarfile.TarInfo(f"{key}.{name}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def webdataset(folder, count):
    """Write shards of 10, as img2dataset does, with captions and a class."""
    for shard in range(-(-count // 10)):
        rows = range(shard * 10, min(count, shard * 10 + 10))
        samples = [
            (
                f"{i:09d}",
                {
                    "png": coded(i),
                    "txt": f"picture {i}",
                    "cls": str(i % 3),
                    "json": json.dumps({"key": f"{i:09d}", "status": "success", "exif": "{}"}),
                },
            )
            for i in rows
        ]
        write_tar(folder / f"{shard:05d}.tar", samples)
    return folder


def parquet(folder, count, group=7):
    """Write a file of the hub: bytes and path, a caption and a class, in small row groups."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = {
        "image": [{"bytes": coded(i), "path": f"{i}.png"} for i in range(count)],
        "label": [i % 3 for i in range(count)],
        "text": [f"picture {i}" for i in range(count)],
    }
    pd.DataFrame(rows).to_parquet(folder / "data-00000-of-00001.parquet", row_group_size=group)
    return folder


def huggingface(folder, count):
    """Save a Dataset to disk."""
    import datasets

    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=["a", "b", "c"]),
            "text": datasets.Value("string"),
        }
    )
    rows = {
        "image": [{"bytes": coded(i), "path": None} for i in range(count)],
        "label": [i % 3 for i in range(count)],
        "text": [f"picture {i}" for i in range(count)],
    }
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(str(folder))
    return folder


def lmdb(folder, count):
    """Write an lmdb of LSUN's form: 40 hexadecimal digits -> encoded image."""
    import lmdb as library

    folder.mkdir(parents=True, exist_ok=True)
    environment = library.open(str(folder), map_size=2**26)
    with environment.begin(write=True) as transaction:
        for i in range(count):
            transaction.put(f"{i:040x}".encode(), coded(i, "webp"))
    environment.close()
    return folder


def hdf5(file, count):
    """Write an HDF5 of PyTorch-StudioGAN."""
    import h5py

    with h5py.File(file, "w") as held:
        held.create_dataset("imgs", data=np.stack([picture(i) for i in range(count)]), chunks=True)
        held.create_dataset("labels", data=np.arange(count, dtype=np.int64) % 3)
    return file


def edm(file, count):
    """Write a zip of EDM's dataset_tool.py."""
    names = [f"{i // 1000:05d}/img{i:08d}.png" for i in range(count)]
    with zipfile.ZipFile(file, "w") as archive:
        for i, name in enumerate(names):
            archive.writestr(name, coded(i))
        labels = [[name, i % 3] for i, name in enumerate(names)]
        archive.writestr("dataset.json", json.dumps({"labels": labels}))
    return file


def npz(file, count):
    """Write a batch of guided-diffusion."""
    np.savez(file, np.stack([picture(i) for i in range(count)]), np.arange(count) % 3)
    return file


def imagefolder(folder, count):
    """Write a folder with Hugging Face's metadata file."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(count):
        (folder / f"{i:03d}.png").write_bytes(coded(i))
        rows.append({"file_name": f"{i:03d}.png", "text": f"picture {i}", "label": i % 3})
    (folder / "metadata.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return folder


WRITERS = {
    "webdataset": (webdataset, "tars"),
    "parquet": (parquet, "parquets"),
    "huggingface": (huggingface, "saved"),
    "lmdb": (lmdb, "church_lmdb"),
    "hdf5": (hdf5, "images.hdf5"),
    "edm": (edm, "images.zip"),
    "npz": (npz, "images.npz"),
    "imagefolder": (imagefolder, "folder"),
}
"""Kind -> what writes it, and what it is called."""
NEEDS = {"huggingface": "datasets", "lmdb": "lmdb", "hdf5": "h5py"}
"""Kind -> the library that it needs."""
