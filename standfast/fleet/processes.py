"""Run git and other programs, each with a time limit."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from .model import FleetError

GIT_TIMEOUT = 600
"""Seconds."""

GRACE = 10
"""Seconds that a stopped program has to end itself."""

_running: set[subprocess.Popen[str]] = set()
_lock = threading.Lock()
_stopped = threading.Event()


def git(directory: Path, *arguments: str) -> str:
    """Return the output of a git command.

    Raises:
        FleetError: git failed. The message is git's last line.
    """
    # Nobody answers a question about a password or a host key. Without these settings, git would wait for ever.
    environment = {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_SSH_COMMAND": os.environ.get("GIT_SSH_COMMAND", "ssh -oBatchMode=yes"),
        "LC_ALL": "C",
    }
    status, output, errors = run(["git", *arguments], directory, environment, GIT_TIMEOUT)
    if status:
        lines = [line for line in errors.splitlines() if line.startswith(("fatal:", "error:", " ! ["))]
        reason = redact((lines or errors.splitlines() or [f"exit status {status}"])[0]).strip()
        if remote := [line.removeprefix("remote:").strip() for line in errors.splitlines() if line[:7] == "remote:"]:
            reason += f". The server answered: {' '.join(filter(None, remote))[:300]}"
        raise FleetError(f"git {arguments[0]} failed: {reason}")
    return output


def run(
    command: list[str],
    directory: Path,
    environment: Mapping[str, str | None],
    timeout: float,
    log: IO[str] | None = None,
) -> tuple[int, str, str]:
    """Run a program without input, and return its exit status and output.

    Args:
        command: program and arguments.
        directory: the working directory.
        environment: variables in addition to those of this process. None removes a variable.
        timeout: seconds. The program and the processes that it started are killed after this time.
        log: an open file for the output, instead of the returned texts.

    Raises:
        FleetError: the program is not installed, or needs too long.
    """
    output: IO[str] | int = log or subprocess.PIPE
    variables = {name: value for name, value in {**os.environ, **environment}.items() if value is not None}
    with _lock:
        if _stopped.is_set():
            raise FleetError("stopped")
        try:
            process = subprocess.Popen(
                command,
                cwd=directory,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if log else subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,  # so that the processes that it starts can be stopped with it
            )
        except FileNotFoundError:
            raise FleetError(f"The program {command[0]} is not installed. Install it.") from None
        _running.add(process)
    try:
        texts = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        _send(process, signal.SIGTERM)
        _wait_or_kill(process)
        process.communicate()
        raise FleetError(f"{' '.join(command[:2])} did not end within {timeout:g} s.") from None
    finally:
        with _lock:
            _running.discard(process)
    return process.returncode, texts[0] or "", texts[1] or ""


def start() -> None:
    """Allow programs to start, after an earlier `stop`."""
    _stopped.clear()


def stop() -> None:
    """Stop all running programs, and start no new ones."""
    with _lock:
        _stopped.set()
        running = list(_running)
    for process in running:
        _send(process, signal.SIGTERM)
    for process in running:
        _wait_or_kill(process)


def _send(process: subprocess.Popen[str], number: int) -> None:
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
    else:
        process.terminate()


def _wait_or_kill(process: subprocess.Popen[str]) -> None:
    """Wait until a process has removed its lock files and servers. Kill it after a time."""
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        if os.name == "posix":
            _send(process, signal.SIGKILL)
        else:
            process.kill()


def redact(text: str) -> str:
    """Return the text without the user names and passwords of addresses."""
    return re.sub(r"(\w://)[^/@\s]+@", r"\1", text)
