"""Run git."""

from __future__ import annotations

import subprocess
from pathlib import Path

import click


def git(directory: Path, *arguments: str, given: bytes | None = None, accepted: tuple[int, ...] = (0,)) -> str:
    """Return the output of a git command.

    Args:
        directory: the working directory of the command.
        given: the standard input; None is no input.
        accepted: the exit statuses that are no failure.

    Raises:
        ClickException: git is not installed, or the command failed. The message is git's.
    """
    return git_bytes(directory, *arguments, given=given, accepted=accepted).decode("utf-8", "surrogateescape")


def git_bytes(directory: Path, *arguments: str, given: bytes | None = None, accepted: tuple[int, ...] = (0,)) -> bytes:
    """Return the output of a git command as bytes. See `git`."""
    try:
        finished = subprocess.run(
            ["git", *arguments], cwd=directory, input=given or b"", capture_output=True, check=False
        )
    except FileNotFoundError:
        raise click.ClickException("Cannot find git. Install git, because the command needs it.") from None
    if finished.returncode not in accepted:
        reason = " ".join(finished.stderr.decode("utf-8", "replace").split())
        raise click.ClickException(f"git {arguments[0]}: {reason}")
    return finished.stdout
