"""Reach: whether a tracking server answers at all, found out before MLflow is even imported."""

from __future__ import annotations

import logging
import os
import socket
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from ldmbench.offline import is_offline

__all__ = ["is_remote", "quiet", "shown", "unreachable"]

PATIENCE = 3.0
"""Seconds that a server may take to accept a connection."""

_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
_LOUD = ("alembic", "mlflow.store.db.utils", "mlflow.tracking", "urllib3")


def is_remote(uri: str) -> bool:
    """Tell whether a tracking URI names a server."""
    return urlsplit(uri).scheme in ("http", "https")


def shown(uri: str) -> str:
    """Return a URI without the user and password that may stand in it."""
    login, at, _ = urlsplit(uri).netloc.rpartition("@")
    return uri.replace(login + at, "", 1) if at else uri


def unreachable(uri: str) -> str | None:
    """Return why nobody answers at a server's address, or None; a proxy is trusted to know."""
    parts = urlsplit(uri)
    if not is_remote(uri) or parts.hostname is None:
        return None
    if is_offline():
        return "--offline opens no connection"
    if parts.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(
        parts.hostname
    ):
        return None
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname, port), timeout=PATIENCE).close()
    except OSError as error:
        return str(error)
    return None


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
