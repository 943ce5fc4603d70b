"""One run in one MLflow experiment: what is written there, and how a replay finds it again."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, LoggedModelInput, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.store.db.utils import create_sqlalchemy_engine

from ldmbench.canonical import digest
from ldmbench.schema.record import Extras, Picture, Record, Run
from ldmbench.schema.stage import Stage
from ldmbench.track import database, rows
from ldmbench.track.reach import is_database
from ldmbench.track.spool import content_of

__all__ = ["Experiment"]

T = TypeVar("T")
TABLE = "comparison.json"
AT_ONCE = {"metrics": 1000, "params": 100, "tags": 100}
"""What MLflow takes in one request."""
NEWER = {
    "models": "links from cells to models that were not trained here",
    "datasets": "links from cells to datasets",
}
"""What servers of an older MLflow have no place for."""


@dataclass
class Experiment:
    """The experiment, and the times that make a replay write the very same metrics.

    Attributes:
        stages: stage key -> what was made, for the parameters of models and trainings.
        places: name of a model from elsewhere -> its path, hub id or target.
        made: set where the database was made now.
        lacking: what this server has no place for; a key of NEWER each.
    """

    client: Any
    experiment: str
    run: Run
    folder: Path
    deadline: float | None
    places: Mapping[str, str]
    stages: Mapping[str, Stage]
    made: database.Made | None = None
    models: dict[str, str] = field(default_factory=dict)
    lacking: set[str] = field(default_factory=set)
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
        stages: Mapping[str, Stage],
        own: bool,
    ) -> Experiment:
        """Open or make the experiment; artefacts of an SQLite file lie beside it."""
        there = database.file_of(uri)
        made = database.ready(there, own=own) if there else None
        if is_database(uri):
            _connect_once(uri)
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        deadline = None if limit is None else time.monotonic() + limit
        place = (there.parent / "mlartifacts").as_uri() if there else None
        found = client.get_experiment_by_name(experiment)
        if found is not None and found.lifecycle_stage == "deleted":
            raise MlflowException(f"its experiment '{experiment}' is deleted: restore or rename it")
        number = found.experiment_id if found else _create(client, experiment, place)
        return cls(client, number, run, folder, deadline, places, stages, made)

    def write(
        self, records: Sequence[Record], extras: Extras, *, files: Mapping[str, Path]
    ) -> None:
        """Write the parent, its cells, the trainings, what all share; the parent ends last."""
        parent = self._parent()
        self._log(parent, (), rows.run_params(self.run))
        children = self._children(parent.info.run_id)
        pictures = {picture.title: picture for picture in extras.pictures}
        hosts: dict[str, str] = {}
        for record in records:
            self._in_time()
            picture = pictures.get(record.cell.id)
            hosts[record.cell.id] = self._cell(record, parent.info.run_id, children, picture)
        self._trainings(parent, rows.trainings_of(records, extras), hosts, children)
        self._shared(parent, records, extras, files)
        status = {"done": "FINISHED", "failed": "FAILED"}.get(self.run.state, "KILLED")
        self.client.set_terminated(parent.info.run_id, status, end_time=self.end)

    def follow(self, trainings: Sequence[rows.Training]) -> None:
        """Log the curves so far of trainings that go on, each in a run of its own."""
        parent = self._parent()
        children = self._children(parent.info.run_id)
        for training in trainings:
            self._in_time()
            there = self._own(parent, training, children)
            values = rows.curve_values(training, start=self.start)
            for part in _parts(values, AT_ONCE["metrics"]):
                self._points(self.client.get_run(there.info.run_id), part)

    def left_out(self, place: str) -> list[str]:
        """Return a sentence on each thing that the server has no place for."""
        return [
            f"MLflow at {place} is too old for {NEWER[what]}; they are left out, the rest is sent"
            for what in sorted(self.lacking)
        ]

    def _in_time(self) -> None:
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise MlflowException("too slow; what it received is kept")

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
        """Return cell id, or name of a training -> the run that stands for it, whole or begun."""
        children: dict[str, object] = {}
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
                tags = child.data.tags
                name = tags.get("ldmbench.cell") or tags.get("ldmbench.training", "")
                children.setdefault(name, child)
            token = found.token
            if not token:
                return children

    def _cell(
        self, record: Record, parent: str, children: Mapping[str, Any], picture: Picture | None
    ) -> str:
        """Write one cell, unless it is there; return its run. One of other numbers goes first."""
        cell, mark = record.cell, digest(record.model_dump(mode="json"))
        child = children.get(cell.id)
        if child is not None and child.data.tags.get("ldmbench.digest") == mark:
            return str(child.info.run_id)
        if child is not None and child.data.tags.get("ldmbench.begun") != mark:
            self.client.delete_run(child.info.run_id)
            child = None
        if child is None:
            tags = {"ldmbench.role": "cell", "ldmbench.cell": cell.id, "ldmbench.begun": mark}
            child = self._child(parent, cell.id, tags)
        number = str(child.info.run_id)
        values = rows.values_of(record, time=self.end)
        self._log(child, values, rows.params_of(record, self.stages), rows.tags_of(record))
        self._dataset(number, record)
        self._model(number, record)
        if picture is not None:
            self._artifact(number, self.folder / picture.file, "samples")
        status = "FINISHED" if record.status == "done" else "FAILED"
        self.client.set_terminated(number, status, end_time=self.end)
        self.client.set_tag(number, "ldmbench.digest", mark)
        return number

    def _child(self, parent: str, name: str, tags: Mapping[str, str]) -> Any:
        """Begin a run below the suite's."""
        own = {"mlflow.parentRunId": parent, "ldmbench.run": self.run.id, **_SOURCE}
        return self.client.create_run(
            self.experiment, start_time=self.start, tags={**own, **tags}, run_name=name[:250]
        )

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
        marks = [RunTag(n, v) for n, v in (tags or {}).items() if there.data.tags.get(n) != v]
        for part in _parts(metrics, AT_ONCE["metrics"]):
            self.client.log_batch(number, metrics=part)
        for some in _parts(new, AT_ONCE["params"]):
            self.client.log_batch(number, params=some)
        for few in _parts(marks, AT_ONCE["tags"]):
            self.client.log_batch(number, tags=few)

    def _trainings(
        self,
        parent: Any,
        trainings: Sequence[rows.Training],
        hosts: Mapping[str, str],
        children: Mapping[str, Any],
    ) -> None:
        """Log the curve of each training in one run.

        A denoiser's is in the first cell that it made. A first stage's is in the suite's run, or
        where several were trained, in a run of its own. One that was followed while it went on
        stays in the run that it has.
        """
        several = sum(training.kind == "autoencoder" for training in trainings) > 1
        steps: list[Callable[[], object]] = []
        for training in trainings:
            if training.name in children:
                host = partial(self._own, parent, training, children)
            elif training.kind == "denoiser":
                host = partial(self.client.get_run, hosts[training.cell])
            elif several:
                host = partial(self._own, parent, training, children)
            else:
                host = partial(self.client.get_run, parent.info.run_id)
            steps.append(partial(self._training, host, training))
        mark = [[t.name, hosts[t.cell], rows.curve_values(t, start=0)] for t in trainings]
        self._go_on(parent, "trainings", steps, digest(mark))

    def _training(self, host: Callable[[], Any], training: rows.Training) -> None:
        """Log one training, a request's worth of points at a time."""
        there, made = host(), self.stages.get(training.key)
        params = rows.stage_params(training.kind, made) if made else {}
        self._log(there, (), params, {"ldmbench.training": training.name})
        values = rows.curve_values(training, start=self.start)
        parts = [*_parts(values, AT_ONCE["metrics"])]
        steps = [partial(self._points, there, part) for part in parts]
        self._go_on(there, "curve", steps, digest(values))
        if there.data.tags.get("ldmbench.role") == "training":
            self.client.set_terminated(there.info.run_id, "FINISHED", end_time=self.end)

    def _own(self, parent: Any, training: rows.Training, children: Mapping[str, Any]) -> Any:
        """Return the run of a training that no other run stands for."""
        child = children.get(training.name)
        if child is None:
            tags = {"ldmbench.role": "training", "ldmbench.training": training.name}
            child = self._child(parent.info.run_id, training.name, tags)
        return child

    def _points(self, host: Any, part: Sequence[rows.Value]) -> None:
        """Log the points of a curve that a run does not hold yet; one is known by time and step."""
        number, held = host.info.run_id, set()
        for name in {n for n, *_ in part} & set(host.data.metrics):
            history = self.client.get_metric_history(number, name)
            held |= {(name, m.timestamp, m.step) for m in history}
        metrics = [Metric(n, v, at, s) for n, v, at, s in part if (n, at, s) not in held]
        if metrics:
            self.client.log_batch(number, metrics=metrics)

    def _dataset(self, number: str, record: Record) -> None:
        """Link the dataset that the cell's samples are compared with."""
        key = {**record.cell.stages, **record.keys}.get("dataset", "")
        linked = Dataset(
            name=rows.key(record.cell.dataset),
            digest=key[:36] or digest(record.cell.dataset)[:36],
            source_type="ldmbench",
            source=f'{{"dataset": "{rows.key(record.cell.dataset)}", "key": "{key}"}}',
        )
        inputs = [DatasetInput(linked, tags=[])]
        self._newer("datasets", lambda: self.client.log_inputs(number, datasets=inputs))

    def _model(self, number: str, record: Record) -> None:
        """Link a model that was not trained here; the experiment holds each such model once."""
        facts = rows.model_of(record, self.places)
        if facts is None:
            return
        self._newer("models", lambda: self._link(number, facts))

    def _link(self, number: str, facts: Mapping[str, str]) -> None:
        mark = digest({name: value for name, value in facts.items() if name != "source"})
        if mark not in self.models:
            self.models[mark] = self._external(facts, mark)
        self.client.log_inputs(number, models=[LoggedModelInput(self.models[mark])])

    def _newer(self, what: str, call: Callable[[], object]) -> None:
        """Do what servers of an older MLflow have no place for, or note that it is left out."""
        if what in self.lacking:
            return
        try:
            call()
        except MlflowException as error:
            if not _has_no_place(error):
                raise
            self.lacking.add(what)

    def _external(self, facts: Mapping[str, str], mark: str) -> str:
        """Return the id of the experiment's entry for a model whose files lie elsewhere."""
        query = f"tags.`ldmbench.model` = '{mark}'"
        found = self.client.search_logged_models([self.experiment], query, max_results=1)
        model = found[0] if found else None
        if model is None:
            tags = {"ldmbench.model": mark, "mlflow.model.isExternal": "true"}
            name = re.sub(r"[/:.%\"']", "_", facts["model"])[:250]  # what MLflow allows in a name
            model = self.client.create_logged_model(
                self.experiment, name=name, tags=tags, params=dict(facts), model_type="diffusion"
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


def _has_no_place(error: MlflowException) -> bool:
    """Tell whether a server does not know the address that it was asked at."""
    facts = re.search(r"error code (404|405|501)\b|detail\W+Not Found", str(error))
    return bool(error.error_code == "ENDPOINT_NOT_FOUND" or facts)


def _inside(name: str) -> str:
    """Return the folder of a file among the artifacts, which no name leads out of."""
    return "/".join(p for p in PurePosixPath(name).parent.parts if p not in ("..", "/"))


def _connect_once(uri: str) -> None:
    """Raise what a database refuses; MLflow itself would ask it ten times, for 100 seconds."""
    engine = create_sqlalchemy_engine(uri)
    engine.connect().close()
    engine.dispose()


def _create(client: Any, experiment: str, place: str | None) -> str:
    try:
        made = client.create_experiment(experiment, artifact_location=place, tags=_KIND)
        return str(made)
    except MlflowException:
        found = client.get_experiment_by_name(experiment)  # another mirror was first
        if found is None:
            raise
        return str(found.experiment_id)


def _parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[i : i + size] for i in range(0, len(items), size))
