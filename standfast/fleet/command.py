"""Run `standfast fleet`."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import click

from .examine import Options
from .report import as_json, as_page, table
from .runner import run_fleet
from .sources import read_sources


def run_command(
    lists: Sequence[Path],
    *,
    to: str | None,
    work: Path,
    jobs: int | None,
    trust: bool,
    templates: Sequence[str],
    verify: bool,
    commands: Sequence[str],
    push: bool,
    requests: str | None,
    fresh: bool,
    json_file: Path | None,
    html_file: Path | None,
) -> None:
    """Print the table, and write the report files.

    Raises:
        ClickException: the options are wrong, or a project could not be examined or pushed.
    """
    if (verify or commands) and not trust:
        raise click.ClickException(
            "--verify and --run execute code of the template in the merged projects. Read the new version of the "
            "template, and add --trust."
        )
    if templates and not trust:
        raise click.ClickException("--template names the template that --trust covers. Add --trust.")
    for command in commands:
        try:
            shlex.split(command)
        except ValueError as error:
            raise click.ClickException(f"--run {command}: {error}. Correct the quotes.") from None
    if requests and not shutil.which(requests):
        raise click.ClickException(f"--requests {requests}: the program {requests} is not installed. Install it.")
    for file in (json_file, html_file):
        if file and not file.absolute().parent.is_dir():
            raise click.ClickException(f"Cannot write {file}: its directory does not exist. Create it.")
    sources = read_sources(lists)
    start = time.monotonic()
    options = Options(
        work=prepare(work),
        verify=verify,
        commands=tuple(commands),
        push=push or requests is not None,
        tool=requests,
        fresh=fresh,
    )
    # Without this handler, the programs that run for the projects would not end.
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        results = run_fleet(
            sources,
            options,
            to=to,
            trust=trust,
            templates=templates,
            jobs=jobs or os.cpu_count() or 1,
            progress=lambda line: click.echo(line, err=True),
        )
    except KeyboardInterrupt:
        raise click.ClickException("Stopped. Run the same command again to continue with the other projects.") from None
    finally:
        signal.signal(signal.SIGTERM, former)
    seconds = time.monotonic() - start
    click.echo(table(results))
    if json_file:
        write(json_file, as_json(results, seconds))
    if html_file:
        write(html_file, as_page(results))
    if problems := [result for result in results if result.problem]:
        raise click.ClickException(f"{len(problems)} of {len(results)} projects failed. See the lines below the table.")


def prepare(work: Path) -> Path:
    """Create the work directory, with a `.gitignore` that hides it in a repository."""
    marker = work / ".gitignore"
    try:
        work.mkdir(parents=True, exist_ok=True)
        if any(work.iterdir()) and (not marker.exists() or marker.read_text("utf-8", errors="replace") != "*\n"):
            raise click.ClickException(
                f"{work} has files, and no earlier run has created it. Name a new directory with --work."
            )
        marker.write_text("*\n", "utf-8")
    except OSError as error:
        raise click.ClickException(
            f"Cannot write into {work}: {error.strerror}. Choose another directory with --work."
        ) from None
    return work.absolute()


def write(file: Path, text: str) -> None:
    try:
        file.write_text(text, "utf-8")
    except OSError as error:
        raise click.ClickException(
            f"Cannot write {file}: {error.strerror}. Name another file, and run the command again. It continues."
        ) from None
