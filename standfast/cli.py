"""The command line."""

from __future__ import annotations

from collections.abc import Callable
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
    help="The root of the project.",
)
python_option = click.option(
    "--python",
    metavar="PATH",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    show_default=".venv of the project",
    help="The Python interpreter that the project's dependencies are installed for.",
)


def in_project(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of the commands that run with the project's interpreter."""
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
    Both databases need the same migrations, and TARGET must be empty. All rows are copied in one transaction, which
    is committed only if counts and checksums of both sides agree. SOURCE is only read. Stop the service first: rows
    that it writes meanwhile are not copied.
    """
    project.run("copy_data", source, target, python=python)


@main.group()
def move_schema() -> None:
    """Move the tables to the schema that the models name.

    Use it after the answer schema_namespace was changed. FORMER is the schema where the tables were; the default
    schema of PostgreSQL is called public. Running a command twice changes nothing.
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
    """Move the tables of the database that the settings name.

    Alembic's version table is moved too. Stop the service first.
    """
    project.run("move_schema", "database", former, python=python)


@main.command()
@click.argument("name")
@project_option
def rename_package(*, project: Project, name: str) -> None:
    """Rename the project's Python package to NAME.

    The project is merged with the difference between two renders of its own template version, which differ in the
    package name only. Changes of the owner stay, and later updates work as before.
    """
    from .rename_package import rename  # Copier takes most of a second to import.

    rename(project, name)
