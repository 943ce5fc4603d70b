"""MLflow's SQLite file, whatever a killed process, a full disk or another MLflow left of it."""

from __future__ import annotations

import shutil
import sqlite3
from importlib import import_module

import pytest
from fake_records import fake
from test_track_mlflow import SMALL, _send

from ldmbench.records.runs import Runs
from ldmbench.session.pages import mirror_of, replay
from ldmbench.track import database
from ldmbench.track.mlflow import pending
from ldmbench.track.reach import address_of
from ldmbench.track.spool import content_of, mark


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A database as MLflow makes it, used by nobody."""
    path = tmp_path_factory.mktemp("whole") / "mlflow.db"
    assert database.ready(path, own=True) == database.Made(path, None)
    assert database.ready(path, own=True) is None
    return path


@pytest.fixture
def quickly(whole, monkeypatch):
    """Let new databases be copies: MLflow needs seconds to make one."""

    def copied(engine):
        shutil.copy(whole, engine.url.database)

    monkeypatch.setattr(database.utils, "_initialize_tables", copied)


def change(path, *orders):
    with sqlite3.connect(path) as there:
        for order in orders:
            there.execute(order)
    there.close()


def empty(path, whole):
    path.touch()


def empty_with_journal(path, whole):
    path.touch()
    path.with_name("mlflow.db-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" * 512)
    path.with_name("mlflow.db-wal").write_bytes(b"\x00" * 999)


def journal_alone(path, whole):
    path.with_name("mlflow.db-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" * 512)


def first_tables(path, whole):
    """Initial tables, no version: what is there in the first moments."""
    from mlflow.store.db import utils

    engine = utils.create_sqlalchemy_engine(f"sqlite:///{path}")
    utils.InitialBase.metadata.create_all(engine)
    engine.dispose()


def first_table(path, whole):
    change(path, "create table experiments (experiment_id integer)")


def between_two_versions(path, whole):
    """Cut short in a migration: its temporary table is there."""
    first_tables(path, whole)
    change(
        path,
        "create table alembic_version (version_num varchar(32) not null)",
        "insert into alembic_version values ('451aebb31d03')",
        "create table _alembic_tmp_runs (run_uuid varchar(32))",
    )


def version_without_rows(path, whole):
    shutil.copy(whole, path)
    change(path, "delete from alembic_version")


def version_gone(path, whole):
    shutil.copy(whole, path)
    change(path, "drop table alembic_version")


def table_gone(path, whole):
    shutil.copy(whole, path)
    change(path, "drop table latest_metrics")


def cut_off(path, whole):
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])


def no_database(path, whole):
    path.write_bytes(b"half a page of something else" * 99)


HALF = (
    empty, empty_with_journal, journal_alone, first_tables, first_table, between_two_versions,
    version_without_rows, version_gone, table_gone, cut_off, no_database,
)  # fmt: skip
NOTHING = (empty, empty_with_journal, journal_alone)


@pytest.mark.usefixtures("quickly")
@pytest.mark.parametrize("damage", HALF)
def test_what_cannot_be_used_is_set_aside_and_made_anew(damage, whole, tmp_path):
    path = tmp_path / "mlflow.db"
    damage(path, whole)
    made = database.ready(path, own=True)
    assert made is not None
    assert database._state(path, whole=True) == "whole"
    if damage in NOTHING:
        assert made.aside is None
        assert made.messages == []
    else:
        assert made.aside.name == "mlflow.db.aside-1"
        assert "mlflow.db.aside-1" in made.messages[0]
    left = {p.name for p in tmp_path.iterdir()}
    assert left <= {"mlflow.db", "mlflow.db.lock", "mlflow.db.aside-1"}
    assert database.ready(path, own=True) is None


@pytest.mark.usefixtures("quickly")
@pytest.mark.parametrize("damage", HALF)
def test_of_a_database_of_others_only_an_unused_one_is_replaced(damage, whole, tmp_path):
    path = tmp_path / "mlflow.db"
    damage(path, whole)
    if damage in (cut_off, no_database):
        before = path.read_bytes()
        with pytest.raises(database.DatabaseError, match="damaged or no database of MLflow"):
            database.ready(path, own=False)
        assert path.read_bytes() == before
    else:
        assert database.ready(path, own=False) is not None
        assert database._state(path) == "whole"


def test_a_table_of_others_is_never_moved(tmp_path, whole):
    path = tmp_path / "mlflow.db"
    change(path, "create table birds (name text)")
    with pytest.raises(database.DatabaseError, match="no database of MLflow"):
        database.ready(path, own=False)
    version_gone(path.with_name("b.db"), whole)
    change(path.with_name("b.db"), "insert into experiments (experiment_id, name) values (7, 'x')")
    with pytest.raises(database.DatabaseError, match="name another place"):
        database.ready(path.with_name("b.db"), own=False)


def test_a_newer_mlflow_is_named_and_nothing_is_touched(tmp_path, whole):
    path = tmp_path / "mlflow.db"
    shutil.copy(whole, path)
    change(path, "update alembic_version set version_num = 'ffffffffffff'")
    before = path.read_bytes()
    with pytest.raises(database.DatabaseError, match="made by a newer MLflow than "):
        database.ready(path, own=True)
    assert path.read_bytes() == before


def test_a_folder_is_one_sentence(tmp_path):
    (tmp_path / "mlflow.db").mkdir()
    with pytest.raises(database.DatabaseError, match=r"mlflow\.db is a folder, no database"):
        database.ready(tmp_path / "mlflow.db", own=True)


def test_what_may_not_be_written_is_left_alone(tmp_path, whole, monkeypatch):
    path = tmp_path / "mlflow.db"
    shutil.copy(whole, path)
    monkeypatch.setattr(database.os, "access", lambda place, mode: place != path)
    with pytest.raises(database.DatabaseError, match="may not be written by this user"):
        database.ready(path, own=True)


def old_database(path):
    """Return a database of an older MLflow that holds an experiment."""
    from mlflow.store.db import utils

    engine = utils.create_sqlalchemy_engine(f"sqlite:///{path}")
    utils.InitialBase.metadata.create_all(engine)
    config = utils._get_alembic_config(f"sqlite:///{path}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        import_module("alembic.command").upgrade(config, "0584bdc529eb")
    engine.dispose()
    change(path, "insert into experiments (experiment_id, name) values (7, 'kept')")


def test_an_older_database_is_renewed_beside_and_moved_into_place(tmp_path, monkeypatch):
    path = tmp_path / "mlflow.db"
    old_database(path)
    before, real = path.read_bytes(), database.utils._initialize_tables

    def no_room(engine):
        raise database.utils.sqlalchemy.exc.OperationalError("create", {}, full)

    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorname = "SQLITE_FULL"
    monkeypatch.setattr(database.utils, "_initialize_tables", no_room)
    with pytest.raises(database.DatabaseError, match="disk is full"):
        database.ready(path, own=True)
    assert path.read_bytes() == before
    assert database.ready(path, own=False) is None  # MLflow itself says what to do
    assert path.read_bytes() == before
    monkeypatch.setattr(database.utils, "_initialize_tables", real)
    assert database.ready(path, own=True) is None
    assert database._state(path) == "whole"
    with sqlite3.connect(path) as there:
        assert there.execute("select name from experiments").fetchall() == [("kept",)]
    there.close()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_an_older_database_that_cannot_be_renewed_is_set_aside(tmp_path):
    path = tmp_path / "mlflow.db"
    old_database(path)
    change(path, "create table logged_models (name text)")
    assert database.ready(path, own=True).aside == tmp_path / "mlflow.db.aside-1"
    assert database._state(path) == "whole"


def test_a_kill_while_it_is_made_leaves_nothing_in_its_place(tmp_path, monkeypatch):
    path = tmp_path / "mlflow.db"

    def killed(engine):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(database.utils, "_initialize_tables", killed)
        with pytest.raises(KeyboardInterrupt):
            database.ready(path, own=True)
    assert not path.exists()
    (tmp_path / ".mlflow.db.new").write_bytes(b"of a process that SIGKILL ended")
    assert database.ready(path, own=True) == database.Made(path, None)


def test_one_process_makes_it_and_another_waits(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "PATIENCE", 0.05)
    held = database.FileLock(tmp_path / "mlflow.db.lock")
    with held, pytest.raises(database.DatabaseError, match="another process is still making"):
        database.ready(tmp_path / "mlflow.db", own=True)
    assert not (tmp_path / "mlflow.db").exists()


def test_a_new_database_takes_every_run_again(tmp_path, whole, monkeypatch):
    """Also one that the old one took, and what is said of it is said once."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("LDMBENCH_MLFLOW", "1")
    monkeypatch.setattr("ldmbench.session.pages._files", lambda run, all_runs: {})
    all_runs, path = Runs(tmp_path), tmp_path / "mlflow.db"
    run, records, _ = fake(tmp_path / "spare", downsampling=(4,), steps=(10,), side=8)
    for name in ("a", "b"):
        all_runs.write_run(run.model_copy(update={"id": name, "source": ""}))
        all_runs.rewrite(name, records)
    taken, uri = all_runs.path("a"), address_of(path)
    mark(taken, f"{uri} {run.suite}", content_of(taken), uri=uri, experiment="7")
    view = "runs?workflowType=machine_learning"
    command = f"mlflow ui --backend-store-uri {uri}"
    assert mirror_of(all_runs.find("b"), all_runs) == command
    told = mirror_of(all_runs.find("a"), all_runs)
    assert told == f"{command}, then open http://127.0.0.1:5000/#/experiments/7/{view}"
    table_gone(path, whole)
    (said,) = replay(all_runs)
    assert "mlflow.db was incomplete or damaged" in said
    assert pending(all_runs.folder) == []
    with sqlite3.connect(path) as there:
        found = there.execute("select name from runs where name in ('a', 'b')").fetchall()
    there.close()
    assert sorted(found) == [("a",), ("b",)]
    assert f"/experiments/1/{view}" in mirror_of(all_runs.find("a"), all_runs)


@pytest.mark.parametrize("name", ["a#b", "a?b=c", "a%2Fb", "a%", "a 'b' \"c\" ü 猫"])
def test_a_store_of_any_name_keeps_its_database_inside(name, tmp_path, whole):
    folder = tmp_path / name
    folder.mkdir()
    shutil.copy(whole, folder / "mlflow.db")
    uri = address_of(folder / "mlflow.db")
    assert database.file_of(uri) == folder / "mlflow.db"
    made = fake(folder / "run", **{**SMALL, "downsampling": (4,), "steps": (10,)})
    assert _send(made, folder / "run", uri, experiment="x") is None
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert (folder / "mlartifacts").is_dir()
    with sqlite3.connect(folder / "mlflow.db") as there:
        assert there.execute("select count(*) from runs").fetchone() == (2,)
    there.close()


def test_addresses_lead_to_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert database.file_of("sqlite:///a/b.db") == tmp_path / "a" / "b.db"
    assert database.file_of("sqlite:////a/b.db").as_posix() == "/a/b.db"
    assert database.file_of("sqlite+pysqlite:///file:/a%3Fb?uri=true") is not None
    assert database.file_of("sqlite://") is None
    assert database.file_of("sqlite:///:memory:") is None
    assert database.file_of("http://a/b.db") is None
