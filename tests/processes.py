"""Processes that tests talk to: the port they serve on, the wait until they answer, their end."""

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


def wait_until(condition: Callable[[], bool], seconds: float = 10, message: str = "") -> None:
    """Poll a condition; an exception in it is not retried."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(message or f"not so after {seconds} s")
        time.sleep(0.05)


def is_served(url: str, timeout: float = 5) -> bool:
    """Whether it answers with 200, where nothing may listen yet."""
    try:
        return httpx2.get(url, timeout=timeout).status_code == 200
    except httpx2.TransportError:
        return False


class Service:
    """A process that serves the rendered service."""

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
        """Whether it answers yet; one that ended, or answers with an error, is not waited for."""
        try:
            httpx2.get(f"{self.url}/health").raise_for_status()
        except httpx2.TransportError:
            assert self.process.poll() is None, f"it ended with {self.process.returncode}"
            return False
        return True


@contextmanager
def started(
    *command: str | Path, cwd: Path, environment: Mapping[str, str] = {}, seconds: float = 60
) -> Iterator[Service]:
    """A command that serves on PORT, from its first answer on; its output is in the failure of a test."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    # A file, because a pipe that nobody reads would stop a service that logs much.
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
            wait_until(service.is_up, seconds, f"{url} does not answer")
            yield service
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            print(service.output()[-5000:])


@contextmanager
def serving(project: Path, python: Environment, database_url: str, **variables: str) -> Iterator[Service]:
    """The rendered service on a database."""
    environment = python.variables(project, DATABASE_URL=database_url, **variables)
    with started(python.python, "-m", "my_service", cwd=project, environment=environment) as service:
        yield service
