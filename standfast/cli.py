"""Command line of `standfast`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from . import __version__
from .fleet.cli import fleet
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


@click.group(help="Commands for projects that the template Standfast rendered. Run them in the root of the project.")
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
    Other objects of the schema, such as views and functions, stay. The command prints the statement that moves each.
    """
    project.run("move_schema", "database", former, python=python)


@main.command()
@click.argument("name")
@project_option
def rename_package(*, project: Project, name: str) -> None:
    """Rename the project's Python package to NAME.

    The command renders the project's template version twice, with the former and the new name. It merges the
    difference into the project. The owner's changes stay, and later updates work as before. At the end, the command
    lists texts that still contain the former name.
    """
    from .rename_package import rename  # Other commands do not need Copier, which takes long to import.

    rename(project, name)


def _read_answers(context: click.Context, parameter: click.Parameter, pairs: tuple[str, ...]) -> dict[str, str]:
    answers = dict(pair.partition("=")[::2] for pair in pairs)
    if wrong := next((pair for pair in pairs if "=" not in pair), None):
        raise click.BadParameter(f"{wrong} has no value. Write NAME=VALUE.")
    return answers


@main.command()
@click.option("--check", is_flag=True, help="Show the changes to the last commit, and change nothing.")
@click.option("--diff", is_flag=True, help="With --check: also show the changed lines.")
@click.option("-d", "--data", metavar="NAME=VALUE", multiple=True, callback=_read_answers, help="Change an answer.")
@click.option("--to", metavar="VERSION", help="A version of the template, or `current`. The default is the newest.")
@click.option("--trust", is_flag=True, help="Run the template's scripts of this update. Read them first.")
@project_option
def update(*, project: Project, check: bool, diff: bool, data: dict[str, str], to: str | None, trust: bool) -> None:
    """Update the project to a newer template version, on a new branch.

    The command merges the changes of the template into the project. It commits nothing. With --to current, it keeps the
    version and only changes answers.
    """
    from . import update as updates  # Other commands do not need Copier, which takes long to import.

    if check:
        preview = updates.preview_update(project.directory, to=to, data=data, trust=trust)
        click.echo(updates.report(preview))
        if diff:
            click.echo(preview.diff, nl=False)
        return
    applied = updates.apply_update(project.directory, to=to, data=data, trust=trust)
    click.echo(updates.report(applied.preview, applied.former))
    if applied.branch:
        click.echo(updates.next_steps(applied))


main.add_command(fleet)
