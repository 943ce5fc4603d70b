"""The store: all or nothing, damage detected, told in one sentence."""

import errno
import json
import os
import shutil
import threading

import pytest

from ldmbench.errors import InputError, StoreError
from ldmbench.schema.stage import Manifest
from ldmbench.store import artifact
from ldmbench.store.artifact import MANIFEST, SEAL, outputs_digest, outputs_of
from ldmbench.store.disk import Address, Store
from ldmbench.store.faults import explaining_os_errors

KEY = "0" * 32
ADDRESS = Address("features", KEY, (0, 64))


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "store")
    store.open()
    return store


def commit(store, address=ADDRESS, content=b"abc", origins=None):
    folder = store.temporary(address)
    (folder / "a.npy").write_bytes(content)
    (folder / "deep").mkdir()
    (folder / "deep" / "cost.json").write_text("{}")
    outputs = outputs_of(folder)
    manifest = Manifest(
        kind=address.kind, key=address.key, shard=address.shard, version=1, params={}, inputs={},
        input_digests=origins or {}, outputs=outputs, digest=outputs_digest(outputs), code="c",
        machine={}, versions={}, started="2026-01-01", seconds=0.1,
    )  # fmt: skip
    store.commit(folder, manifest)
    return manifest


def test_commit_then_lookup(store):
    manifest = commit(store)
    assert store.lookup(ADDRESS) == manifest
    assert store.lookup(ADDRESS, verify=True) == manifest
    assert not list((store.root / "tmp").iterdir())


def test_nothing_there(store):
    assert store.lookup(ADDRESS) is None
    assert store.warnings == []


def test_accounts_are_no_part_of_what_was_made(store):
    first = commit(store)
    folder = store.folder(ADDRESS)
    (folder / "deep" / "cost.json").write_text('{"seconds": 5}')
    assert outputs_digest(outputs_of(folder)) == first.digest


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (lambda f: (f / "a.npy").write_bytes(b"ab"), "a.npy has 2 bytes, expected 3"),
        (lambda f: (f / "a.npy").unlink(), "a.npy is missing"),
        (lambda f: (f / MANIFEST).write_text("{"), "the manifest is damaged"),
        (lambda f: (f / MANIFEST).unlink(), "it has no manifest"),
        (lambda f: _foreign(f / MANIFEST), "it belongs to another key"),
    ],
)
def test_damage_is_set_aside_named_and_counts_as_not_there(store, harm, why):
    commit(store)
    harm(store.folder(ADDRESS))
    assert store.lookup(ADDRESS) is None
    assert why in store.warnings[0]
    assert len(list((store.root / "damaged").iterdir())) == 1
    commit(store)
    assert store.lookup(ADDRESS, verify=True)


def _edit(path, **changes):
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, **changes}))


def _outputs(name="a.npy", **entry):
    return lambda f: _edit(f / MANIFEST, outputs={name: entry})


def _folder(path):
    path.unlink()
    path.mkdir()


def _loop(path):
    path.unlink()
    path.symlink_to(path)


def _self(folder):
    shutil.rmtree(folder)
    folder.symlink_to(folder)


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (_outputs(sha256="0"), "the manifest is damaged"),
        (_outputs(bytes=3), "the manifest is damaged"),
        (_outputs("/etc/passwd", sha256="0", bytes=1), "the manifest is damaged"),
        (_outputs("../a", sha256="0", bytes=1), "the manifest is damaged"),
        (_outputs("a" * 300, sha256="0", bytes=1), "the manifest is damaged"),
        (lambda f: (f / MANIFEST).write_bytes(b"\0" * 4096), "the manifest is damaged"),
        (lambda f: _edit(f / MANIFEST, shard=[64, 128]), "it belongs to another key"),
        (lambda f: _folder(f / MANIFEST), "the manifest is no file"),
        (lambda f: _loop(f / MANIFEST), "the manifest is no file"),
        (lambda f: _folder(f / "a.npy"), "a.npy is missing"),
        (_self, "the manifest is no file"),
    ],
)
def test_a_manifest_that_lies_is_damage_too(store, harm, why):
    commit(store)
    harm(store.folder(ADDRESS))
    assert store.lookup(ADDRESS) is None
    assert why in store.warnings[0]
    commit(store)
    assert store.lookup(ADDRESS, verify=True)


def test_a_foreign_file_is_found_by_a_closer_look(store):
    commit(store)
    (store.folder(ADDRESS) / ".nfs01").write_text("the file system's own")
    assert Store(store.root).lookup(ADDRESS, verify=True)
    (store.folder(ADDRESS) / "deep" / "b.npy").write_text("x")
    again = Store(store.root)
    assert again.lookup(ADDRESS, verify=True) is None
    assert "deep/b.npy is foreign to it" in again.warnings[0]


@pytest.mark.parametrize("more", [{}, {"unknown": 1}])
def test_what_a_newer_version_made_is_left_alone(store, more):
    commit(store)
    _edit(store.folder(ADDRESS) / MANIFEST, api_version=2, **more)
    with pytest.raises(StoreError, match=r"a newer ldmbench made it .*; upgrade ldmbench"):
        store.lookup(ADDRESS)
    assert (store.folder(ADDRESS) / MANIFEST).exists()


@pytest.mark.parametrize("target", ["/nonexistent/x", "file"])
def test_a_commit_replaces_whatever_stands_in_its_place(store, target):
    folder = store.folder(ADDRESS)
    folder.parent.mkdir(parents=True)
    if target == "file":
        folder.write_text("x")
    else:
        folder.symlink_to(target)
    assert store.lookup(ADDRESS) is None
    commit(store)
    assert store.lookup(ADDRESS, verify=True)
    assert not list((store.root / "tmp").iterdir())


def test_what_a_killed_run_left_is_removed_unless_somebody_still_makes_it(store):
    other = Address("features", KEY, (64, 128))
    left, made, young = (store.temporary(a) for a in (ADDRESS, other, ADDRESS))
    again = left.with_name(f"{left.name}-2")  # a second attempt on a cluster
    again.mkdir()
    for path in (left, made, again):
        os.utime(path, (0, 0))
    with store.lock(other):
        Store(store.root).open()
    assert set((store.root / "tmp").iterdir()) == {made, young}


@pytest.mark.parametrize("name", ["with space", "ünï-日本 😀", "x" * 200, "link"])
def test_a_store_may_lie_anywhere(tmp_path, name):
    root = tmp_path / name
    if name == "link":
        (tmp_path / "real").mkdir()
        root.symlink_to(tmp_path / "real")
    store = Store(root)
    store.open()
    commit(store)
    with store.lock(ADDRESS) as mine:
        assert mine
    assert store.lookup(ADDRESS, verify=True)


def _foreign(path):
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "key": "1" * 32}))


def test_a_changed_byte_is_found_by_digest(store, tmp_path):
    commit(store)
    (store.folder(ADDRESS) / "a.npy").write_bytes(b"abd")
    assert store.lookup(ADDRESS) is not None  # sizes agree
    again = Store(store.root)
    assert again.lookup(ADDRESS, verify=True) is None
    assert "does not have the digest it was committed with" in again.warnings[0]


def test_a_text_is_compared_at_every_look_and_an_array_when_it_is_read(store):
    commit(store)
    (store.folder(ADDRESS) / "a.npy").write_bytes(b"abd")
    assert store.file(ADDRESS, "deep/cost.json") == store.folder(ADDRESS) / "deep/cost.json"
    assert store.file(ADDRESS, "a.npy") is None
    assert "a.npy does not have the digest" in store.warnings[0]
    commit(store)
    assert store.file(ADDRESS, "a.npy").read_bytes() == b"abc"
    assert store.file(ADDRESS, "foreign.json") is None
    (store.folder(ADDRESS) / "deep" / "cost.json").write_text("[]")
    assert store.lookup(ADDRESS) is None
    assert "deep/cost.json does not have the digest" in store.warnings[1]
    assert store.lost == {ADDRESS.name}
    commit(store)
    assert store.lost == set()


def test_a_large_file_is_digested_again_when_anything_tells_that_it_changed(store, monkeypatch):
    read = []
    monkeypatch.setattr(artifact, "SMALL", 2)
    monkeypatch.setattr(artifact, "SETTLED_NS", -1)
    real = artifact.digest_file
    monkeypatch.setattr(artifact, "digest_file", lambda path: read.append(path.name) or real(path))
    commit(store)
    file, read[:] = store.folder(ADDRESS) / "a.npy", []
    store.file(ADDRESS, "a.npy")
    assert "a.npy" not in read  # what was just committed is known
    told = file.stat()
    other = file.with_name("b")
    other.write_bytes(b"abd")
    os.utime(other, ns=(told.st_atime_ns, told.st_mtime_ns))
    other.replace(file)
    assert store.file(ADDRESS, "a.npy") is None


@pytest.mark.parametrize(
    "change",
    [
        {"seconds": 7},
        {"machine": {"device": "another"}},
        {"params": {"a": 1}},
        {"input_digests": {"images": "0"}},
        {"input_digests": {"reference/images": "1"}},
        {"digest": "0"},
    ],
)
def test_an_edited_manifest_is_damage(store, change):
    commit(store, origins={"reference/images": "0"})
    _edit(store.folder(ADDRESS) / MANIFEST, **change)
    assert store.lookup(ADDRESS) is None
    assert "the manifest does not" in store.warnings[0]


@pytest.mark.parametrize("change", [{"code": "older"}, {"input_digests": {}}, {}])
def test_a_manifest_may_be_of_another_code_or_an_older_version(store, change):
    commit(store, origins={"reference/images": "0"})
    _edit(store.folder(ADDRESS) / MANIFEST, **change)
    if not change:
        (store.folder(ADDRESS) / SEAL).unlink()
        _edit(store.folder(ADDRESS) / MANIFEST, seconds=7)
    assert store.lookup(ADDRESS, verify=True)


@pytest.mark.parametrize("key", ["../../x", "", ".", "/tmp/x", "a/b"])
def test_a_key_is_no_way_out_of_the_store(store, key):
    with pytest.raises(StoreError, match="is not a key of a store"):
        store.lookup(Address("scores", key))


@pytest.mark.parametrize("harm", ["file", "link"])
@pytest.mark.parametrize("name", ["tmp", "scratch", "locks", "runs", "features", "damaged", "KEY"])
def test_what_stands_where_a_folder_belongs_makes_room(store, harm, name):
    place = store.root / (f"features/{KEY}" if name == "KEY" else name)
    _put(place, harm)
    store.open()
    store.scratch(ADDRESS, made_by="one")
    with store.lock(ADDRESS) as mine:
        assert mine
    commit(store)
    store.set_aside(ADDRESS, "a test")
    commit(store)
    assert store.lookup(ADDRESS, verify=True)


@pytest.mark.parametrize("harm", ["folder", "link", "loop"])
def test_what_is_no_lock_makes_room_for_one(store, harm):
    _put(store.root / "locks" / f"{ADDRESS.name}.lock", harm)
    with store.lock(ADDRESS) as mine:
        assert mine
    assert "it is no lock" in store.warnings[0]


@pytest.mark.parametrize("harm", ["folder", "file", "link", "bytes"])
def test_a_stamp_that_makes_no_sense_drops_what_it_stands_beside(store, harm):
    folder = store.scratch(ADDRESS, made_by="one")
    (folder / "checkpoint").write_text("weights")
    _put(folder / "made_by", harm)
    assert not list(store.scratch(ADDRESS, made_by="one").glob("checkpoint"))
    assert "starts from the beginning" in store.warnings[0]
    (folder / "checkpoint").write_text("weights")
    assert (store.scratch(ADDRESS, made_by="one") / "checkpoint").exists()


def _put(path, harm):
    """Put something into a place where it does not belong."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    if harm == "folder":
        path.mkdir()
        (path / "x").write_text("x")
    elif harm == "file":
        path.write_text("x")
    elif harm == "bytes":
        path.write_bytes(b"\xff\0")
    else:
        path.symlink_to("/nonexistent/x" if harm == "link" else path)


def test_checkpoints_of_another_code_or_other_inputs_are_dropped(store):
    address = Address("denoiser", "ab")
    kept = store.scratch(address, made_by="one") / "checkpoint"
    kept.write_text("weights")
    assert (store.scratch(address, made_by="one") / "checkpoint").exists()
    assert store.warnings == []
    assert not (store.scratch(address, made_by="two") / "checkpoint").exists()
    assert "starts from the beginning" in store.warnings[0]


def test_a_commit_replaces_an_older_one(store):
    commit(store, content=b"old")
    new = commit(store, content=b"new")
    assert store.lookup(ADDRESS, verify=True) == new


def test_one_holder_of_a_lock(store):
    seen = []
    with store.lock(ADDRESS) as mine:

        def other():
            with Store(store.root).lock(ADDRESS, timeout=0.05) as theirs:
                seen.append(theirs)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert mine
    assert seen == [False]


def test_full_disk_and_permission_are_one_sentence(tmp_path):
    def fail(code):
        with explaining_os_errors(tmp_path):
            raise OSError(code, "x", str(tmp_path / "file"))

    with pytest.raises(StoreError, match=r"the disk is full \(.* MB free\); free some space"):
        fail(errno.ENOSPC)
    with pytest.raises(StoreError, match="no permission to write; choose another store"):
        fail(errno.EACCES)
    with pytest.raises(StoreError, match=r"file: x; raise the limit on open files \(ulimit -n\)"):
        fail(errno.EMFILE)


def test_a_store_where_a_file_stands(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file: no store can be kept there \(Not a directory\)"):
        Store(tmp_path / "file").open()


def test_names_cannot_leave_the_store(store):
    assert store.folder(ADDRESS).is_relative_to(store.root)
    assert "/" not in ADDRESS.name
