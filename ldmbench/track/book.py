"""One run in one MLflow experiment: what is written there, and how a replay finds it again."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import urlsplit

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, LoggedModelInput, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from ldmbench.canonical import digest
from ldmbench.schema.record import Extras, Picture, Record, Run
from ldmbench.track import rows
from ldmbench.track.reach import is_database
from ldmbench.track.spool import content_of

__all__ = ["Book"]

T = TypeVar("T")
TABLE = "comparison.json"
AT_ONCE = {"metrics": 1000, "params": 100, "tags": 100}
"""What MLflow takes in one request."""
CURVES = 10
"""Curves of one request at most: a replay may have to ask for the points of each, one by one."""


@dataclass
class Book:
    """The experiment, and the times that make a replay write the very same metrics."""

    client: Any
    experiment: str
    run: Run
    folder: Path
    deadline: float | None
    places: Mapping[str, str]
    models: dict[str, str] = field(default_factory=dict)
    start: int = field(init=False)
    end: int = field(init=False)

    def __post_init__(self) -> None:
        self.start = rows.milliseconds(self.run.started)
        self.end = rows.milliseconds(self.run.finished, fallback=self.start)

    @classmethod
    def open(
        cls,
        run: Run,
        *,
        uri: str,
        experiment: str,
        folder: Path,
        limit: float | None,
        places: Mapping[str, str],
    ) -> Book:
        """Open or make the experiment; artefacts of an SQLite file lie beside it."""
        if is_database(uri):
            _connect_once(uri)
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        deadline = None if limit is None else time.monotonic() + limit
        place = _artifacts_beside(uri)
        found = client.get_experiment_by_name(experiment)
        if found is not None and found.lifecycle_stage == "deleted":
            raise MlflowException(f"its experiment '{experiment}' is deleted: restore or rename it")
        number = found.experiment_id if found else _create(client, experiment, place)
        return cls(client, number, run, folder, deadline, places)

    def write(
        self, records: Sequence[Record], extras: Extras, *, files: Mapping[str, Path]
    ) -> None:
        """Write the parent, then its cells, then what all cells share; the parent ends last."""
        parent = self._parent()
        self._log(parent, (), rows.run_params(self.run))
        self._curves(parent, rows.curve_values(extras, start=self.start))
        children = self._children(parent.info.run_id)
        pictures = {picture.title: picture for picture in extras.pictures}
        for record in records:
            self._in_time()
            self._cell(record, parent.info.run_id, children, pictures.get(record.cell.id))
        self._shared(parent, records, extras, files)
        status = {"done": "FINISHED", "failed": "FAILED"}.get(self.run.state, "KILLED")
        self.client.set_terminated(parent.info.run_id, status, end_time=self.end)

    def _in_time(self) -> None:
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise MlflowException("too slow; what it took stays")

    def _go_on(
        self, parent: Any, name: str, steps: Sequence[Callable[[], object]], content: str
    ) -> None:
        """Take steps from where an earlier mirror of the same content broke off.

        A tag of the parent counts the steps that are done: a slow server gets further each time.
        """
        tag, mark = f"ldmbench.{name}", content[:16]
        count, _, of = parent.data.tags.get(tag, "").partition(" of ")
        done = int(count) if of == mark else 0
        for number, step in enumerate(steps[done:], start=done + 1):
            self._in_time()
            step()
            self.client.set_tag(parent.info.run_id, tag, f"{number} of {mark}")

    def _parent(self) -> Any:
        query = f"tags.`ldmbench.run` = '{self.run.id}' and tags.`ldmbench.role` = 'suite'"
        found = self.client.search_runs([self.experiment], query, order_by=["start_time ASC"])
        if found:
            return self.client.get_run(found[0].info.run_id)
        tags = {"ldmbench.run": self.run.id, "ldmbench.role": "suite", **_SOURCE}
        tags["mlflow.note.content"] = self.run.question or self.run.suite
        return self.client.create_run(
            self.experiment, start_time=self.start, tags=tags, run_name=self.run.id
        )

    def _children(self, parent: str) -> dict[str, Any]:
        """Return cell id -> the run that stands for it, whole or begun."""
        children: dict[str, Any] = {}
        token = None
        while True:
            found = self.client.search_runs(
                [self.experiment],
                f"tags.`mlflow.parentRunId` = '{parent}'",
                max_results=1000,
                order_by=["start_time ASC"],
                page_token=token,
            )
            for child in found:
                children.setdefault(child.data.tags.get("ldmbench.cell", ""), child)
            token = found.token
            if not token:
                return children

    def _cell(
        self, record: Record, parent: str, children: Mapping[str, Any], picture: Picture | None
    ) -> None:
        """Write one cell, unless it is there; one that was made of other numbers goes first."""
        cell, mark = record.cell, digest(record.model_dump(mode="json"))
        child = children.get(cell.id)
        if child is not None and child.data.tags.get("ldmbench.digest") == mark:
            return
        if child is not None and child.data.tags.get("ldmbench.begun") != mark:
            self.client.delete_run(child.info.run_id)
            child = None
        if child is None:
            tags = {"mlflow.parentRunId": parent, "ldmbench.run": self.run.id, **_SOURCE}
            tags |= {"ldmbench.role": "cell", "ldmbench.cell": cell.id, "ldmbench.begun": mark}
            child = self.client.create_run(
                self.experiment, start_time=self.start, tags=tags, run_name=cell.id[:250]
            )
        number = child.info.run_id
        values = rows.values_of(record, time=self.end)
        self._log(child, values, rows.params_of(record), rows.tags_of(record))
        self._dataset(number, record)
        self._model(number, record)
        if picture is not None:
            self._artifact(number, self.folder / picture.file, "samples")
        status = "FINISHED" if record.status == "done" else "FAILED"
        self.client.set_terminated(number, status, end_time=self.end)
        self.client.set_tag(number, "ldmbench.digest", mark)

    def _log(
        self,
        there: Any,
        values: Sequence[rows.Value],
        params: Mapping[str, str],
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log what a run does not hold yet; each of these metrics has one value."""
        number = there.info.run_id
        metrics = [Metric(n, v, at, s) for n, v, at, s in values if n not in there.data.metrics]
        new = [Param(n, v) for n, v in params.items() if n not in there.data.params]
        marks = [RunTag(n, v) for n, v in (tags or {}).items()]
        for part in _parts(metrics, AT_ONCE["metrics"]):
            self.client.log_batch(number, metrics=part)
        for some in _parts(new, AT_ONCE["params"]):
            self.client.log_batch(number, params=some)
        for few in _parts(marks, AT_ONCE["tags"]):
            self.client.log_batch(number, tags=few)

    def _curves(self, parent: Any, values: Sequence[rows.Value]) -> None:
        """Log the training curves, a request's worth of points at a time."""
        parts = [*_curve_parts(values)]
        steps = [partial(self._points, parent, part) for part in parts]
        self._go_on(parent, "curves", steps, digest(parts))

    def _points(self, parent: Any, part: Sequence[rows.Value]) -> None:
        """Log the points that a run does not hold yet; one is known by key, time and step."""
        number, names = parent.info.run_id, dict.fromkeys(name for name, *_ in part)
        held = {
            (name, m.timestamp, m.step)
            for name in names
            if name in parent.data.metrics
            for m in self.client.get_metric_history(number, name)
        }
        metrics = [Metric(n, v, at, s) for n, v, at, s in part if (n, at, s) not in held]
        if metrics:
            self.client.log_batch(number, metrics=metrics)

    def _dataset(self, number: str, record: Record) -> None:
        """Link the dataset that the cell's samples are held to."""
        key = {**record.cell.stages, **record.keys}.get("dataset", "")
        linked = Dataset(
            name=rows.key(record.cell.dataset),
            digest=key[:36] or digest(record.cell.dataset)[:36],
            source_type="ldmbench",
            source=f'{{"dataset": "{rows.key(record.cell.dataset)}", "key": "{key}"}}',
        )
        self.client.log_inputs(number, datasets=[DatasetInput(linked, tags=[])])

    def _model(self, number: str, record: Record) -> None:
        """Link a model that was not trained here; the experiment holds each such model once."""
        told = rows.model_of(record, self.places)
        if told is None:
            return
        mark = digest({name: value for name, value in told.items() if name != "source"})
        if mark not in self.models:
            self.models[mark] = self._external(told, mark)
        self.client.log_inputs(number, models=[LoggedModelInput(self.models[mark])])

    def _external(self, told: Mapping[str, str], mark: str) -> str:
        """Return the id of the experiment's entry for a model whose files lie elsewhere."""
        query = f"tags.`ldmbench.model` = '{mark}'"
        found = self.client.search_logged_models([self.experiment], query, max_results=1)
        model = found[0] if found else None
        if model is None:
            tags = {"ldmbench.model": mark, "mlflow.model.isExternal": "true"}
            name = re.sub(r"[/:.%\"']", "_", told["model"])[:250]  # what MLflow allows in a name
            model = self.client.create_logged_model(
                self.experiment, name=name, tags=tags, params=dict(told), model_type="diffusion"
            )
        if str(model.status) != "READY":
            self.client.finalize_logged_model(model.model_id, "READY")
        return str(model.model_id)

    def _shared(
        self,
        parent: Any,
        records: Sequence[Record],
        extras: Extras,
        files: Mapping[str, Path],
    ) -> None:
        """Write what all cells share, one file at a time."""
        number = parent.info.run_id
        sent = [("records", self.folder / n) for n in ("run.json", "records.jsonl", "extras.json")]
        real = [picture for picture in extras.pictures if picture.title.startswith("real/")]
        sent += [("samples", self.folder / picture.file) for picture in real]
        sent += [(_inside(name), path) for name, path in files.items()]
        states = [record.status for record in records]
        counts = {f"ldmbench.cells_{s}": str(states.count(s)) for s in ("done", "failed")}
        tags = [RunTag(n, v) for n, v in counts.items()]
        steps: list[Callable[[], object]] = [
            partial(self._table, number, records),
            partial(self.client.log_batch, number, tags=tags),
            *(partial(self._artifact, number, path, place) for place, path in sent),
        ]
        if self.run.source:
            steps.append(partial(self.client.log_text, number, self.run.source, "suite.yaml"))
        names = [f"{place}/{path.name}" for place, path in sent]
        self._go_on(parent, "shared", steps, digest([content_of(self.folder), names]))

    def _table(self, parent: str, records: Sequence[Record]) -> None:
        """Write the comparative table with log_table; over an older one, as log_table appends."""
        import pandas as pd

        table = pd.DataFrame(rows.table_rows(records))
        if TABLE not in [artifact.path for artifact in self.client.list_artifacts(parent)]:
            self.client.log_table(parent, table, TABLE)
            return
        self.client.log_text(parent, table.to_json(orient="split", index=False), TABLE)
        tag = f'[{{"path": "{TABLE}", "type": "table"}}]'
        self.client.set_tag(parent, "mlflow.loggedArtifacts", tag)

    def _artifact(self, number: str, path: Path, place: str) -> None:
        if path.is_file():
            self.client.log_artifact(number, str(path), place or None)


_KIND = {"mlflow.experimentKind": "custom_model_development"}
"""Lets MLflow's pages open with runs and models, not with traces of agents."""
_SOURCE = {"mlflow.source.name": "ldmbench", "mlflow.source.type": "LOCAL"}


def _inside(name: str) -> str:
    """Return the folder of a file among the artifacts, which no name leads out of."""
    return "/".join(p for p in PurePosixPath(name).parent.parts if p not in ("..", "/"))


def _connect_once(uri: str) -> None:
    """Raise what a database refuses; MLflow itself would ask it ten times, for 100 seconds."""
    from mlflow.store.db.utils import create_sqlalchemy_engine

    engine = create_sqlalchemy_engine(uri)
    engine.connect().close()
    engine.dispose()


def _artifacts_beside(uri: str) -> str | None:
    """Make the folder of an SQLite file; return where its artefacts go, or None for a server."""
    parts = urlsplit(uri)
    if not parts.scheme.startswith("sqlite"):
        return None
    database = Path(os.path.abspath(parts.path[1:]))  # noqa: PTH100
    database.parent.mkdir(parents=True, exist_ok=True)
    return (database.parent / "mlartifacts").as_uri()


def _create(client: Any, experiment: str, place: str | None) -> str:
    try:
        made = client.create_experiment(experiment, artifact_location=place, tags=_KIND)
        return str(made)
    except MlflowException:
        found = client.get_experiment_by_name(experiment)  # another mirror was first
        if found is None:
            raise
        return str(found.experiment_id)


def _curve_parts(values: Sequence[rows.Value]) -> Iterator[list[rows.Value]]:
    """Cut the points of curves into requests of few points, of few curves."""
    part: list[rows.Value] = []
    names: set[str] = set()
    for value in values:
        full = len(names) == CURVES and value[0] not in names
        if full or len(part) == AT_ONCE["metrics"]:
            yield part
            part, names = [], set()
        part.append(value)
        names.add(value[0])
    if part:
        yield part


def _parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[i : i + size] for i in range(0, len(items), size))
