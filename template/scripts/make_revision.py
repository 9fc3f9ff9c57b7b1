"""Write a migration for the changes of the models, and apply and revert it once.

The models are compared with a temporary database that has all other migrations.
"""

import asyncio
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import click
from alembic import command
from alembic.script import Script
from alembic.util import CommandError
from sqlalchemy import URL

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.database import clear_environment, migration_config, revision_databases


@click.command(help=__doc__)
@click.argument("message")
def main(message: str) -> None:
    clear_environment()
    try:
        asyncio.run(write_revision(message))
    except (CommandError, RuntimeError, OSError) as error:
        raise click.ClickException(str(error)) from error


async def write_revision(message: str) -> None:
    async with revision_databases() as urls:
        script = await asyncio.to_thread(autogenerate, message, urls[0])
        if script is not None:
            for url in urls:
                await asyncio.to_thread(apply_and_revert, script, url)


def autogenerate(message: str, url: URL) -> Script | None:
    """Return the new migration; None if the models have not changed."""
    config = migration_config(url)
    config.cmd_opts = Namespace(autogenerate=True)
    command.upgrade(config, "heads")
    written = command.revision(config, message, autogenerate=True)
    if not isinstance(written, Script):
        return None
    subprocess.run([sys.executable, "-m", "ruff", "check", "--quiet", written.path], check=False)
    return written


def apply_and_revert(script: Script, url: URL) -> None:
    """Raise an error with the remedy if the migration cannot be applied or reverted on an empty table."""
    config = migration_config(url)
    try:
        command.upgrade(config, "heads")
        command.downgrade(config, str(script.down_revision or "base"))
    except CommandError as error:
        database = url.get_backend_name()
        raise CommandError(
            f"{script.path} fails on {database}.\n{error}\nCorrect the file, and try it with make test. For statements "
            f'that {database} does not know, write:\n    if op.get_context().dialect.name != "{database}":'
        ) from error


if __name__ == "__main__":
    main()
