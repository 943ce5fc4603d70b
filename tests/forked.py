"""Workers for the tests, forked from one process that has imported what a worker imports.

Importing takes a worker longer than most tests take, so the workers that tests start share it: one
server for all processes of pytest. The workers run the worker's own main, with pipes, environment
and folder of their own. A test that needs `ldmbench` in a process of its own starts `DOOR`, whose
workers are forked too; `python -m ldmbench run ...` starts real ones.

    python tests/forked.py serve PID       serves requests until the process PID is gone
    python tests/forked.py door ...        ldmbench ...
"""

import contextlib
import importlib
import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from types import SimpleNamespace

import psutil

from ldmbench.execute import process
from ldmbench.execute.process import COMMAND

DOOR = (sys.executable, __file__, "door")
"""The command `ldmbench`."""
OWNER = "LDMBENCH_TESTS_OWNER"
"""The variable that holds the number of the process for whose tests the server is."""
PREPARED = ("samples", "features", "scores", "reconstructions", "coding", "speed")


class Popen:
    """As much of subprocess.Popen as a WorkerProcess uses; other commands get the real one."""

    def __new__(cls, command, **how):
        """Return a process, forked if it is a worker."""
        if tuple(command[: len(COMMAND)]) != COMMAND:
            return subprocess.Popen(command, **how)
        return super().__new__(cls)

    def __init__(self, command, *, stderr, env, **_):
        """Ask the server for one more."""
        task_end, self.stdin = _pipe(writer=True)
        self.stdout, event_end = _pipe(writer=False)
        self._own = threading.Lock()
        self._told, keeper = socket.socketpair(type=socket.SOCK_SEQPACKET)
        words = command[len(COMMAND) :]
        asked = {"arguments": words, "environment": env, "folder": str(Path.cwd())}
        ends = [task_end, event_end, stderr.fileno(), keeper.fileno()]
        with connected() as server:
            socket.send_fds(server, [json.dumps(asked).encode()], ends)
        keeper.close()
        os.close(task_end)
        os.close(event_end)
        self.pid, self.returncode = int(self._told.recv(64)), None

    def wait(self):
        """Wait for the end and return the code, negative for a signal."""
        return self._ended(0)

    def poll(self):
        """Return the code of the end, if it came."""
        with contextlib.suppress(BlockingIOError):
            return self._ended(socket.MSG_DONTWAIT)

    def _ended(self, how):
        with self._own:
            if self.returncode is None:
                self.returncode = int(self._told.recv(64, how))
                self._told.close()
            return self.returncode

    def kill(self):
        """End it."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


def _pipe(*, writer):
    """Return the end to give away and the end to keep as a file, in the order read, write."""
    read, write = os.pipe()
    if writer:
        return read, os.fdopen(write, "w", encoding="utf-8")
    return os.fdopen(read, encoding="utf-8"), write


def install():
    """Fork the workers that this process starts; wait for no disk, as no power fails in a test."""
    os.environ.setdefault(OWNER, str(os.getpid()))
    os.fsync = lambda _: None
    process.subprocess = SimpleNamespace(PIPE=subprocess.PIPE, Popen=Popen)


def connected():
    """Return a connection to the server; the first to ask starts it."""
    for attempt in range(1000):
        made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            made.connect(address(os.environ[OWNER]))
        except OSError:
            made.close()
            if attempt == 0:
                command = [sys.executable, __file__, "serve", os.environ[OWNER]]
                subprocess.Popen(command, start_new_session=True)
            time.sleep(0.1)
        else:
            return made
    raise RuntimeError("the server of tests/forked.py does not start")


def address(owner):
    """Return the name of the server's socket."""
    return f"\0ldmbench-tests-{owner}"


def serve(owner):
    """Fork a keeper for every request, until the owner is gone."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        listener.bind(address(owner))
    except OSError:
        return  # another is there
    listener.listen(64)
    for name in PREPARED:
        __import__(f"ldmbench.stages.{name}")
    os.fsync = lambda _: None
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers are nobody's concern
    while psutil.pid_exists(int(owner)):
        if not select.select([listener], [], [], 1.0)[0]:
            continue
        with listener.accept()[0] as requests:
            asked, ends, *_ = socket.recv_fds(requests, 1 << 20, 4)
        if not asked:
            continue  # who asked is gone
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            keep(json.loads(asked), *ends)
        for end in ends:
            os.close(end)


def keep(asked, tasks, events, log, told):
    """Fork the worker, say its number, and then how it ended."""
    pid = os.fork()
    if pid == 0:
        os.close(told)
        work(asked, tasks, events, log)
    for end in (tasks, events, log):
        os.close(end)
    os.write(told, str(pid).encode())
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.write(told, str(code).encode())
    os._exit(0)


def work(asked, tasks, events, log):
    """Be the worker."""
    import numpy as np
    import torch

    from ldmbench.execute import worker

    os.setsid()
    for end, number in ((tasks, 0), (events, 1), (log, 2)):
        os.dup2(end, number)
        os.close(end)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    sys.path[:0] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    importlib.invalidate_caches()
    sys.argv = [worker.__file__, *asked["arguments"]]
    random.seed()  # as unlike each other as processes are
    np.random.seed()
    torch.seed()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count())))
    try:
        worker.main()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def door(arguments):
    """Be the command `ldmbench`."""
    from ldmbench.cli import main

    install()
    sys.argv = ["ldmbench", *arguments]
    main()


if __name__ == "__main__":
    {"serve": lambda: serve(sys.argv[2]), "door": lambda: door(sys.argv[2:])}[sys.argv[1]]()
