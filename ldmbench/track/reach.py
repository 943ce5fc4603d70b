"""Reach: whether a tracking server answers at all, found out before MLflow is even imported."""

from __future__ import annotations

import logging
import os
import re
import socket
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from urllib.parse import quote, urlsplit

from ldmbench.offline import is_offline

__all__ = ["address_of", "is_database", "is_local", "is_remote", "quiet", "shown", "unreachable"]

PATIENCE = 3.0
"""Seconds that a server may take to accept a connection."""
PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306}

_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
    "PGCONNECT_TIMEOUT": "10",
    "GIT_PYTHON_REFRESH": "quiet",
}
_LOUD = ("alembic", "mlflow.store.db.utils", "mlflow.tracking", "urllib3")


def address_of(path: Path) -> str:
    """Return the tracking URI of an SQLite file, whatever letters its path holds.

    MLflow makes the folder of an address that begins with `sqlite:///` as it stands, undecoded.
    """
    if not {"?", "%"} & set(str(path)):
        return f"sqlite:///{path}"
    major, minor = map(int, metadata.version("sqlalchemy").split(".")[:2])
    if (major, minor) >= (2, 1):  # decodes the path; versions before it leave that to SQLite
        return f"sqlite+pysqlite:///{quote(str(path))}"
    return f"sqlite+pysqlite:///file:{quote(str(path))}?uri=true"


def is_remote(uri: str) -> bool:
    """Tell whether a tracking URI names a server."""
    return _scheme(uri) in ("http", "https")


def is_database(uri: str) -> bool:
    """Tell whether a tracking URI names a database that a server keeps."""
    return _scheme(uri) in ("postgresql", "mysql", "mssql")


def is_local(uri: str) -> bool:
    """Tell whether a tracking URI is a path or an SQLite file: no connection leads there."""
    return _scheme(uri) in ("", "file", "sqlite") and uri != "databricks"


def _scheme(uri: str) -> str:
    """Return how a URI begins, without a driver; '' for a path, even with a drive."""
    found = re.match(r"([A-Za-z][\w.-]+)(\+[\w.-]+)?:", uri)
    return found[1].lower() if found else ""


def shown(uri: str) -> str:
    """Return a URI without the user and password that may stand in it."""
    return re.sub(r"(?<=://)[^/?#]*@", "", uri, count=1)


def unreachable(uri: str) -> str | None:
    """Return why nobody answers at an address, or None; a proxy is trusted to know."""
    if is_local(uri):
        return None
    if is_offline():
        return "--offline opens no connection"
    try:
        place = _place(uri)
        if place is not None and not _has_proxy(uri, place[0]):
            socket.create_connection(place, timeout=PATIENCE).close()
    except OSError as error:
        return str(error)
    except ValueError:  # a database's driver may read what is no URI to us
        return "this is no address; change it where it is set" if is_remote(uri) else None
    return None


def _place(uri: str) -> tuple[str, int] | None:
    """Return host and port; None where a driver alone knows: several hosts, a socket file.

    Raises:
        ValueError: if the URI is none.
    """
    parts = urlsplit(uri)
    host, port = parts.hostname, parts.port or PORTS.get(_scheme(uri))
    if not host or port is None:
        return None
    unsure = host == "localhost" or "," in host or re.search(r"\b(host|unix_socket)=", parts.query)
    return None if is_database(uri) and unsure else (host, port)


def _has_proxy(uri: str, host: str) -> bool:
    scheme = _scheme(uri)
    known = is_remote(uri) and scheme in urllib.request.getproxies()
    return known and not urllib.request.proxy_bypass(host)


@contextmanager
def quiet() -> Iterator[None]:
    """Let MLflow send no telemetry, fail fast and print nothing, while inside."""
    levels = {name: logging.getLogger(name).level for name in _LOUD}
    for name in levels:
        logging.getLogger(name).setLevel(logging.ERROR)
    before = {name: os.environ.get(name) for name in _SETTINGS}
    os.environ.update(_SETTINGS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
