"""Helpers that run the commands of the project as processes."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

ROOT = Path(__file__).parents[2]
SERVE = ("-m", "my_service")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def run_python(*arguments: str, answer: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the project. The `empty_database` fixture sets DATABASE_URL in its environment."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        input=answer,
        capture_output=True,
        text=True,
        check=False,
    )


def run_alembic(*arguments: str) -> subprocess.CompletedProcess[str]:
    finished = run_python("-m", "alembic", *arguments)
    assert finished.returncode == 0, finished.stderr
    return finished


@contextmanager
def serving(*command: str, **variables: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start a server. Yield its process and URL after its first response, and kill it at the end."""
    port = free_port()
    environment = {**os.environ, "PORT": str(port), **variables}
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            httpx2.get(f"{url}/health").raise_for_status()
        except httpx2.TransportError:
            assert process.poll() is None, process.communicate()[0]
            return False
        return True

    try:
        wait_for(answers, f"{url} does not respond.", seconds=60)
        yield process, url
    finally:
        process.kill()
        process.communicate()


def wait_until_healthy(url: str) -> None:
    """Poll a health endpoint until it returns 200. On a busy machine, a health check may time out."""
    wait_for(lambda: httpx2.get(url).status_code == 200, f"{url} is not healthy.")


def wait_for(condition: Callable[[], bool], message: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, message
        time.sleep(0.05)
