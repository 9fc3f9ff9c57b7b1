"""What a new user does first, from a fresh clone and with nothing installed but Python, git and make."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

import httpx2
import pytest

from conftest import git_init, run, run_unchecked
from test_service import wait_for

pytestmark = pytest.mark.slow


def make(target: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return run("make", *target.split(), cwd=cwd, **environment)


@pytest.mark.parametrize(
    ("answers", "options"),
    [
        pytest.param("", "DEFAULTS=1", id="default"),
        pytest.param("database_backend: sqlite\ninclude_example: false\ndependency_tool: uv\n", "", id="uv"),
    ],
)
def test_from_a_clone_to_a_passing_suite(template: Path, tmp_path: Path, answers: str, options: str) -> None:
    clone = tmp_path / "clone"
    run("git", "clone", "--quiet", template, clone, cwd=tmp_path)
    (tmp_path / "answers.yml").write_text(answers)
    make(f"new DEST={tmp_path}/rendered {options or f'DATA={tmp_path}/answers.yml'}", clone)
    git_init(tmp_path / "rendered")
    service = tmp_path / "service"
    run("git", "clone", "--quiet", tmp_path / "rendered", service, cwd=tmp_path)

    assert_dev_serves(service)
    for target in ("test", "lint", "typecheck", "migrate", "help"):
        make(target, service)
    refused = run_unchecked("make", "revision", cwd=service)
    assert refused.returncode != 0
    assert 'm="' in refused.stdout
    assert run("git", "status", "--porcelain", cwd=service).stdout.split() in ([], ["??", "uv.lock"])


def assert_dev_serves(service: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    process = subprocess.Popen(
        ["make", "dev"],
        cwd=service,
        env={**os.environ, "PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/health", process, seconds=300)
        for path in ("/health", "/health/db", "/health/ready", "/docs"):
            assert httpx2.get(url + path).status_code == 200
    finally:
        os.killpg(process.pid, signal.SIGINT)
        output = process.communicate(timeout=30)[0]
    assert url in output
    assert "Traceback" not in output
