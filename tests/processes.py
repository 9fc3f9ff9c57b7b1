"""Helpers that start a server process, wait for its first response, and stop it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

import httpx2

from conftest import Environment


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_until(condition: Callable[[], bool], seconds: float = 30, message: str = "") -> None:
    """Poll a condition until it is true. An exception in the condition ends the wait.

    Raises:
        TimeoutError: the condition is not true after these seconds.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(message or f"The condition is not true after {seconds} s.")
        time.sleep(0.05)


def is_served(url: str, timeout: float = 5) -> bool:
    """Return true if the URL responds with 200, and false if nothing listens there yet."""
    try:
        return httpx2.get(url, timeout=timeout).status_code == 200
    except httpx2.TransportError:
        return False


class Service:
    """A running process of the rendered service."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, client: httpx2.Client, log: Path) -> None:
        self.process = process
        self.url = url
        self.client = client
        self._log = log

    def get(self, path: str) -> httpx2.Response:
        return self.client.get(path)

    def output(self) -> str:
        return self._log.read_text("utf-8")

    def is_up(self) -> bool:
        """Return true if the process responds. Fail if it has ended or responds with an error status."""
        try:
            httpx2.get(f"{self.url}/health").raise_for_status()
        except httpx2.TransportError:
            assert self.process.poll() is None, f"The process ended with status {self.process.returncode}."
            return False
        return True


@contextmanager
def started(
    *command: str | Path, cwd: Path, environment: Mapping[str, str] = {}, seconds: float = 60
) -> Iterator[Service]:
    """Start a command that serves on PORT, wait for its first response, and stop it at the end.

    The last 5000 characters of its output are printed: pytest shows them if the test fails.
    """
    port = free_port()
    url = f"http://[::1]:{port}" if environment.get("HOST") == "::" else f"http://127.0.0.1:{port}"
    # The log is a file: nothing reads a pipe during a test, and a full pipe would block the service.
    with NamedTemporaryFile() as log, httpx2.Client(base_url=url, timeout=30) as client:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **environment, "PORT": str(port)},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        service = Service(process, url, client, Path(log.name))
        try:
            wait_until(service.is_up, seconds, f"{url} does not respond.")
            yield service
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            print(service.output()[-5000:])


@contextmanager
def serving(project: Path, python: Environment, database_url: str, **variables: str) -> Iterator[Service]:
    """Start the rendered service with a database, and stop it at the end."""
    environment = python.variables(project, DATABASE_URL=database_url, **variables)
    with started(python.python, "-m", "my_service", cwd=project, environment=environment) as service:
        yield service
