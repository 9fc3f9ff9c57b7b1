"""The first commands of README.md, and a machine that runs them as a new user's does."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from address import address

ROOT = Path(__file__).resolve().parents[1]
PLACE = re.compile(r"cd ([\w./-]+) && ")
KEPT = re.compile(r"LANG|PATH|PYENV_ROOT|(HTTPS?|NO)_PROXY|(PIP|UV|SSL|REQUESTS|NPM)_\w+", re.IGNORECASE)
"""Environment variables that describe the machine, its package index and its proxies."""

CACHES = {"PIP_CACHE_DIR", "UV_CACHE_DIR"}


def readme_commands() -> list[str]:
    """Return the commands of the section *Start* of README.md, without comments."""
    section = (ROOT / "README.md").read_text("utf-8").partition("\n## Start\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```console\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    return [re.sub(r"\s{2,}#.*", "", line) for block in blocks for line in block.splitlines()]


def clone(directory: Path) -> Path:
    """Clone the last commit. The clone has no tags, so that Copier renders this commit instead of the last release."""
    subprocess.run(["git", "clone", "--quiet", "--no-tags", str(ROOT), str(directory)], check=True)
    return directory


def environment(home: Path, template: Path) -> dict[str, str]:
    """Return the environment variables of a new user.

    Args:
        home: The home directory. It also has the caches.
        template: A clone. Git uses it instead of the public address of this repository.
    """
    home.mkdir(exist_ok=True)
    identity = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in AUTHOR.items()}
    return {
        **{name: value for name, value in os.environ.items() if KEPT.fullmatch(name) and name not in CACHES},
        **identity,
        "PATH": f"{programs(home)}:{os.environ['PATH']}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{template}.insteadOf",
        "GIT_CONFIG_VALUE_0": address(),
    }


AUTHOR = {"NAME": "Ada", "EMAIL": "ada@example.com"}


def programs(home: Path) -> Path:
    """Return a directory with uv and uvx of this repository's environment."""
    directory = home / "bin"
    directory.mkdir(exist_ok=True)
    for name in ("uv", "uvx"):
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(ROOT / ".venv" / "bin" / name)
    return directory


def place_after(command: str, cwd: Path) -> Path:
    """Return the working directory after the command."""
    moved = PLACE.match(command)
    return cwd / moved[1] if moved else cwd


@contextmanager
def serving(command: str, cwd: Path, variables: dict[str, str], url: str, log: Path) -> Iterator[None]:
    """Run a command in the background until the service is ready, and interrupt it at the end."""
    if is_ready(url):
        raise SystemExit(f"Another service is running at {url}. Stop it first.")
    with log.open("w") as output:
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=cwd,
            env=variables,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + 600
            while not is_ready(url):
                if time.monotonic() > deadline or process.poll() is not None:
                    raise SystemExit(f"{command} failed.\n{log.read_text('utf-8')}")
                time.sleep(0.1)
            yield
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
            process.wait()


def is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health/ready", timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
