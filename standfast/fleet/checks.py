"""Run the checks of a merged project with its own make targets."""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from .model import Check, FleetError
from .processes import run

TARGETS = ("make lint", "make typecheck", "make test")
TIMEOUT = 1800
"""Seconds for one command."""

FOREIGN = (
    *("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT", "PYTHONPATH", "PYTHONHOME"),
    *("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "args", "DATABASE_URL"),
)
"""Variables that would change the project's environment, its make, or its settings."""

TOKENS = ("GH_TOKEN", "GITHUB_TOKEN", "GH_ENTERPRISE_TOKEN", "GITLAB_TOKEN", "GITLAB_ACCESS_TOKEN", "OAUTH_TOKEN")
"""Variables with a right to push, which code of the project must not have."""


def run_checks(
    directory: Path, commands: Sequence[str], caches: Path, log: IO[str], *, stop: bool = False
) -> list[Check]:
    """Run commands in a project, and return their results.

    Args:
        directory: the project.
        commands: programs with arguments, without a shell.
        caches: the directory for caches that all projects share.
        log: an open file for the output.
        stop: whether a failed command is the last one.
    """
    results = []
    for command in commands:
        results.append(run_check(directory, command, caches, log))
        if stop and not results[-1].passed:
            break
    return results


def run_check(directory: Path, command: str, caches: Path, log: IO[str]) -> Check:
    """Run a command. The environment is the project's own, but mypy need not check its libraries again each time."""
    print(f"\n$ {command}", file=log, flush=True)
    # Two mypy processes cannot write into one cache, so each thread has its own.
    cache = caches / threading.current_thread().name.rpartition("_")[2]
    variables = {**dict.fromkeys((*FOREIGN, *TOKENS)), "NO_COLOR": "1", "MYPY_CACHE_DIR": str(cache / "mypy")}
    start = time.monotonic()
    try:
        status, _, _ = run(shlex.split(command), directory, variables, TIMEOUT, log)
    except FleetError as error:
        print(error, file=log, flush=True)
        status = 1
    return Check(command, status == 0, round(time.monotonic() - start, 1))
