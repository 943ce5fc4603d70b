"""The door: every command, and every way out."""

from __future__ import annotations

import codecs
import io
import logging
import os
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import click

from ldmbench.cli.terminal import Inert, fitted, legible, say_tinted
from ldmbench.errors import InterruptError, LdmbenchError
from ldmbench.registry import nearest, resolve
from ldmbench.store.faults import describe_os_error

COMMANDS = {
    "run": "ldmbench.cli.run:run",
    "plan": "ldmbench.cli.plan:plan",
    "status": "ldmbench.cli.status:status",
    "report": "ldmbench.cli.report:report",
    "compare": "ldmbench.cli.compare:compare",
    "gate": "ldmbench.cli.gate:gate",
    "accept": "ldmbench.cli.accept:accept",
    "history": "ldmbench.cli.history:history",
    "weights": "ldmbench.cli.weights:weights",
    "score": "ldmbench.cli.score:score",
    "reference": "ldmbench.cli.reference:reference",
    "convert": "ldmbench.cli.convert:convert",
    "export": "ldmbench.cli.export:export",
    "list": "ldmbench.cli.list:list_",
    "published": "ldmbench.cli.published:published",
    "doctor": "ldmbench.cli.doctor:doctor",
}

STOPPED = "interrupted; what is committed is kept, the same command continues from there"


class Door(click.Group):
    """A group that imports a command only when it is typed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of a working day."""
        return [*COMMANDS]  # `list` is a module of this package once its command was typed

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return one command."""
        target = COMMANDS.get(cmd_name)
        return resolve(target) if target else None  # type: ignore[return-value]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Say which command was meant when there is none of this name."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(
                f"no command '{args[0]}'{nearest(args[0], COMMANDS)};"
                f" there are: {', '.join(COMMANDS)}",
                ctx,
            )
        return super().resolve_command(ctx, args)


@click.group(cls=Door, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ldmbench")
@click.option("--offline", is_flag=True, help="Open no connection; say what is missing.")
def door(offline: bool) -> None:
    """Benchmark latent diffusion models: quality, speed and cost, with error bars.

    \b
    Examples:
      ldmbench doctor                         what this machine can do
      ldmbench plan suites/quickstart.yaml    what would run, and what it costs
      ldmbench run suites/quickstart.yaml     train, sample, score, time, report
      ldmbench report --format markdown       the last run's table
    """
    if offline:
        os.environ["LDMBENCH_OFFLINE"] = "1"
        os.environ["HF_HUB_OFFLINE"] = "1"


def main(arguments: list[str] | None = None) -> None:
    """Run a command and leave with the exit code that the contract gives its outcome."""
    _speak_unicode()
    _heed_signals()
    sys.stdout, sys.stderr = _patient(sys.stdout), _patient(sys.stderr)
    sys.exit(outcome(arguments))


def _speak_unicode() -> None:
    """Begin anew in UTF-8 mode where Python takes file names for ASCII, as it does by no default.

    So it is in the plain C locale once PYTHONUTF8=0 is set; every other letter would be lost.
    """
    if sys.getfilesystemencoding() == "ascii" and not sys.flags.utf8_mode:
        command = [sys.executable, "-X", "utf8", *sys.orig_argv[1:]]
        os.execve(sys.executable, command, {**os.environ, "PYTHONUTF8": "1"})


class _Pipe(io.FileIO):
    """A stream whose reader may go away, as `head` does: the rest is dropped, nothing stops."""

    def write(self, data: Any) -> int:
        """Write, or pretend to."""
        try:
            return super().write(data) or 0
        except BrokenPipeError:
            return len(data)


def _patient(stream: Any) -> Any:
    """Return the same stream, inert, for a command that ends with its own exit code.

    A letter that the locale's encoding lacks is written as its number: \\u2248 for ≈. For ASCII,
    click takes UTF-8 itself.
    """
    try:
        descriptor = stream.fileno()
    except (AttributeError, OSError):  # closed, or no file
        return stream
    return Inert(
        io.BufferedWriter(_Pipe(descriptor, "w", closefd=False)),
        encoding="utf-8" if codecs.lookup(stream.encoding).name == "ascii" else stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _heed_signals() -> None:
    """Let SIGTERM and a lost terminal end a command as Ctrl-C does; nohup keeps its meaning."""
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def outcome(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code; no traceback reaches the user."""
    _pass_on_warnings()
    try:
        code: Any = door.main(args=arguments, prog_name="ldmbench", standalone_mode=False)
    except InterruptError as error:
        click.echo(str(error), err=True)
        return error.exit_code
    except LdmbenchError as error:
        _say(str(error))
        return error.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo(STOPPED, err=True)
        return 130
    except click.ClickException as error:
        _near(error).show()
        return error.exit_code
    except OSError as error:
        _say(describe_os_error(error, Path.cwd()))
        return 4
    except Exception as error:
        _say(_internal(error))
        return 5
    return int(code or 0)


def _near(error: click.ClickException) -> click.ClickException:
    """Return the error; of an unknown option with what is near by the rule of all other names."""
    if not isinstance(error, click.NoSuchOption) or error.ctx is None:
        return error
    options = [name for param in error.ctx.command.params for name in param.opts]
    meant = nearest(error.option_name, options)
    return click.UsageError(f"No such option '{error.option_name}'{meant}", error.ctx)


class _Heard(logging.Handler):
    """Prints what the spine has to say of what it found, such as damage that was set aside."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one sentence."""
        text = f"warning: {legible(record.getMessage())}"
        click.echo(fitted(text, sys.stderr), err=True)


def _pass_on_warnings() -> None:
    log = logging.getLogger("ldmbench")
    if not any(isinstance(handler, _Heard) for handler in log.handlers):
        log.addHandler(_Heard())


def _say(text: str) -> None:
    for line in text.splitlines():
        say_tinted("error:", "red", line)


def _internal(error: Exception) -> str:
    """Keep the traceback in a file and return one line that names it."""
    descriptor, name = tempfile.mkstemp(prefix="ldmbench-", suffix=".txt")
    os.close(descriptor)
    Path(name).write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    return f"internal error: {type(error).__name__}: {error}; please report it with {name}"
