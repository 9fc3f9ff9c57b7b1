"""The options of `standfast fleet`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("lists", metavar="LIST...", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--to", metavar="VERSION", show_default="the newest release", help="The version of the template.")
@click.option(
    "--work",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    default="standfast-fleet",
    show_default=True,
    help="The directory for clones, results and logs. A second run continues there.",
)
@click.option(
    "--jobs", metavar="N", type=click.IntRange(1), show_default="processors", help="Projects at the same time."
)
@click.option(
    "--trust", is_flag=True, help="Run code of the template: scripts of updates, and with --verify the checks."
)
@click.option(
    "--template", "templates", metavar="ADDRESS", multiple=True, help="The only template that --trust covers."
)
@click.option("--verify", is_flag=True, help="Run make lint, typecheck and test in each merged project.")
@click.option("--run", "commands", metavar="COMMAND", multiple=True, help="Run a command in each merged project first.")
@click.option("--push", is_flag=True, help="Push a branch for each update.")
@click.option("--requests", type=click.Choice(["gh", "glab"]), help="Push, and open requests with this program.")
@click.option("--fresh", is_flag=True, help="Do not use the results of earlier runs.")
@click.option(
    "--json", "json_file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Write JSON."
)
@click.option(
    "--html", "html_file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Write a page."
)
def fleet(*, lists: Sequence[Path], **options: Any) -> None:
    """Report, verify and update the projects of many repositories.

    LIST is a file with one address in each line, a project, or a directory of repositories. An address can end with
    #DIRECTORY for a project in a monorepo. The command clones each repository, and merges the update there. It changes
    the repositories only with --push or --requests, which push new branches.
    """
    from .command import run_command  # Other commands do not need Copier, which takes long to import.

    run_command(lists, **options)
