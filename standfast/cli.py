"""Command line of `standfast`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from . import __version__
from .project import Project, read_project


def _read_project(context: click.Context, parameter: click.Parameter, directory: Path) -> Project:
    return read_project(directory)


project_option = click.option(
    "--project",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=".",
    callback=_read_project,
    show_default="the current directory",
    help="The root directory of the project.",
)
python_option = click.option(
    "--python",
    metavar="PATH",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    show_default=".venv of the project",
    help="A Python interpreter that has the project's dependencies.",
)


def in_project(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of commands that run with the project's interpreter."""
    return project_option(python_option(command))


@click.group(help="Commands for projects that this template rendered. Run them in the root of the project.")
@click.version_option(__version__, prog_name="standfast")
def main() -> None:
    pass


@main.command()
@click.argument("source")
@click.argument("target")
@in_project
def copy_data(*, project: Project, python: Path | None, source: str, target: str) -> None:
    """Copy all rows from one database to another.

    SOURCE and TARGET are database URLs, such as sqlite:///my_service.db and postgresql://user:password@host/name.
    Both databases need the same migrations. TARGET may only have rows that SOURCE has too. The command only reads
    SOURCE. It copies all rows in one transaction, and commits only if both sides have the same row counts and
    checksums. Stop the service first, because the command does not copy rows that the service writes meanwhile.
    """
    project.run("copy_data", source, target, python=python)


@main.group()
def move_schema() -> None:
    """Move the tables to the schema that the models name.

    Use the commands after you changed the answer schema_namespace. FORMER is the former schema of the tables. The
    default schema of PostgreSQL is public. A second run changes nothing.
    """


@move_schema.command()
@click.argument("former")
@in_project
def files(*, project: Project, python: Path | None, former: str) -> None:
    """Rewrite the migrations for the new schema."""
    project.run("move_schema", "files", former, python=python)


@move_schema.command()
@click.argument("former")
@in_project
def database(*, project: Project, python: Path | None, former: str) -> None:
    """Move the tables in the project's database.

    The project's settings name the database. The command also moves Alembic's version table. Stop the service first.
    """
    project.run("move_schema", "database", former, python=python)


@main.command()
@click.argument("name")
@project_option
def rename_package(*, project: Project, name: str) -> None:
    """Rename the project's Python package to NAME.

    The command renders the project's template version twice, with the former and the new name. It merges the
    difference into the project. The owner's changes stay, and later updates work as before.
    """
    from .rename_package import rename  # Other commands do not need Copier, which takes long to import.

    rename(project, name)


@main.command()
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
@click.option("--jobs", metavar="N", type=click.IntRange(1), show_default="processors", help="Projects at the same time.")
@click.option("--trust", is_flag=True, help="Run code of the template: scripts of updates, and with --verify the checks.")
@click.option("--template", "templates", metavar="ADDRESS", multiple=True, help="The only template that --trust covers.")
@click.option("--verify", is_flag=True, help="Run make lint, typecheck and test in each merged project.")
@click.option("--run", "commands", metavar="COMMAND", multiple=True, help="Run a command in each merged project first.")
@click.option("--push", is_flag=True, help="Push a branch for each update.")
@click.option("--requests", type=click.Choice(["gh", "glab"]), help="Push, and open requests with this program.")
@click.option("--fresh", is_flag=True, help="Do not use the results of earlier runs.")
@click.option("--json", "json_file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Write JSON.")
@click.option("--html", "html_file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Write a page.")
def fleet(*, lists: Sequence[Path], **options: Any) -> None:
    """Report, verify and update the projects of many repositories.

    LIST is a file with one address in each line, a repository, or a directory of repositories. An address can end with
    #DIRECTORY for a project in a monorepo. The command clones each repository, and merges the update there. It changes
    the repositories only with --push or --requests, which push new branches.
    """
    from .fleet.command import fleet  # Other commands do not need Copier, which takes long to import.

    fleet(lists, **options)
