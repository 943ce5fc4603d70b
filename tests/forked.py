"""Workers for the tests, forked from one process that has imported what a worker imports.

Importing takes a worker longer than most tests take, so the workers that tests start from within
pytest share it. They run the worker's own main, with pipes, environment and folder of their own.
Tests that begin a program of their own (`python -m ldmbench run ...`) start real ones.

    python tests/forked.py FD      serves requests that come over the socket FD
"""

import contextlib
import importlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import traceback
from pathlib import Path

from ldmbench.execute.process import COMMAND

PREPARED = ("samples", "features", "scores", "reconstructions", "coding", "speed")


class Popen:
    """As much of subprocess.Popen as a WorkerProcess uses; other commands get the real one."""

    _server = None
    _lock = threading.Lock()

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
        with self._lock:
            socket.send_fds(self.server(), [json.dumps(asked).encode()], ends)
        keeper.close()
        os.close(task_end)
        os.close(event_end)
        self.pid, self.returncode = int(self._told.recv(64)), None

    @classmethod
    def server(cls):
        """Return the socket of the server, which is started with the first worker."""
        if cls._server is None:
            cls._server, other = socket.socketpair(type=socket.SOCK_SEQPACKET)
            command = [sys.executable, __file__, str(other.fileno())]
            subprocess.Popen(command, pass_fds=[other.fileno()], start_new_session=True)
            other.close()
        return cls._server

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


def serve(requests):
    """Fork a keeper for every request, until the other side is gone."""
    for name in PREPARED:
        __import__(f"ldmbench.stages.{name}")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers are nobody's concern
    while True:
        asked, ends, *_ = socket.recv_fds(requests, 1 << 20, 4)
        if not asked:
            return
        if os.fork() == 0:
            requests.close()
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


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
