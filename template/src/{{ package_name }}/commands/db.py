"""Commands for the database."""

import asyncio
from contextlib import suppress

import click
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Connection, inspect, table
from sqlalchemy.exc import SQLAlchemyError

from ..autogenerate import is_managed
from ..backends import backend_for
from ..config import Environment, Settings, get_settings
from ..database import CONNECTION_ERRORS, Database, connection_error, error_summary
from ..development_data import rows
from ..errors import OperatorError
from ..migrations import VERSION_TABLE, alembic_config
from ..models import Base


@click.group("db")
def group() -> None:
    """Create, fill or reset the database."""


@group.command()
@click.option("--seed", is_flag=True, help="Load the development data after the migrations. Not allowed in production.")
@click.option("--reset", is_flag=True, help="Drop all tables first. Not allowed in production.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation of --reset.")
def init(*, seed: bool, reset: bool, yes: bool) -> None:
    """Create the database if it does not exist, and apply the migrations. A second run changes nothing."""
    settings = get_settings()
    where = settings.database_url.render_as_string()
    try:
        if seed or reset:
            _refuse_production(settings.environment, "is set")
        if reset and not yes:
            click.confirm(f"Drop all tables of the service in {where}?", abort=True)
        click.echo(f"Database {where}")
        asyncio.run(_initialize(settings, seed=seed, reset=reset))
    except CONNECTION_ERRORS as error:
        raise click.ClickException(str(connection_error(settings.database_url, error))) from None
    except (OperatorError, CommandError) as error:
        raise click.ClickException(str(error)) from None


async def _initialize(settings: Settings, *, seed: bool, reset: bool) -> None:
    backend = backend_for(settings.database_url)
    click.echo("  database created" if await backend.create_database(settings) else "  database exists")
    if seed or reset:
        async with backend.create_migration_engine(settings).connect() as connection:
            stored = await connection.run_sync(backend.read_environment, VERSION_TABLE)
            _refuse_production(stored, "was set when this database was migrated")
            await connection.rollback()
            if reset:
                with suppress(CommandError):  # for example because a migration file is missing
                    command.downgrade(alembic_config(), "base")
                await connection.run_sync(_drop_tables, settings)
                click.echo("  all tables dropped")
    command.upgrade(alembic_config(), "head")
    click.echo("  migrations applied")
    if seed:
        click.echo(f"  development data loaded ({await _seed(settings)} new rows)")


def _refuse_production(environment: str | None, why: str) -> None:
    if environment == Environment.PRODUCTION:
        raise OperatorError(f"--seed and --reset are for development, but ENVIRONMENT=production {why}.")


def _drop_tables(connection: Connection, settings: Settings) -> None:
    backend, schema = backend_for(settings.database_url), VERSION_TABLE.schema
    with backend.migration_lock(connection, settings):
        for name in inspect(connection).get_table_names(schema):
            # Without a schema, other services may have tables beside those of the models.
            if is_managed(name) if schema else name in {*Base.metadata.tables, VERSION_TABLE.name}:
                quoted = connection.dialect.identifier_preparer.format_table(table(name, schema=schema))
                connection.exec_driver_sql(backend.drop_table.format(quoted))
        connection.commit()


async def _seed(settings: Settings) -> int:
    database = Database(settings)
    try:
        async with database.session() as session:
            new = [row for row in rows() if await session.get(type(row), row.id) is None]
            session.add_all(new)
    except SQLAlchemyError as error:
        raise OperatorError(
            f"Cannot load development_data.py ({error_summary(error)}). Change it, or drop all tables with --reset."
        ) from None
    await database.dispose()
    return len(new)
