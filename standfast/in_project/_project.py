"""Access to a project's settings, tables and database engines, for the module layout of each template version."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NoReturn

from sqlalchemy import URL, Connection, MetaData, column, table
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

WRONG_ARGUMENTS = 2
INTERRUPTED = 130
"""Exit statuses for `fail`. Shells and click use the same values."""

CONNECTION_ERRORS = (OSError, TimeoutError, SQLAlchemyError)
"""Exceptions of a failed connection. Drivers do not wrap errors of the operating system."""


class CommandError(Exception):
    """An error that ends the command. Its message is for the operator."""


class Project:
    """Loads the modules and settings of a project.

    Args:
        package: name of the package in `src`.

    Raises:
        SystemExit: a setting is invalid; the message names it.
    """

    def __init__(self, package: str) -> None:
        def load(name: str) -> Any:
            return import_module(f"{package}.{name}")

        self.settings = load("config").get_settings()
        self.metadata: MetaData = load("models").Base.metadata
        self.version_table = table("alembic_version", column("version_num"), schema=self.metadata.schema)
        self.errors: tuple[type[Exception], ...] = (CommandError, load("errors").OperatorError)
        """Exceptions whose message is for the operator."""

        if find_spec(f"{package}.backends"):
            self._backend_for, self._lock = load("backends").backend_for, "migration_lock"
            self._parse_url = load("database_url").parse_database_url
        else:  # Version 0.2.0
            self._backend_for, self._lock = load("dialects").dialect_for, "migration_guard"
            self._parse_url = load("dialects").parse_database_url

    def parse_url(self, value: str) -> URL:
        """Return a database URL with the project's driver in it.

        Raises:
            ValueError: the project cannot use the URL. The message never quotes it.
        """
        url: URL = self._parse_url(value)
        return url

    def create_engine(self, url: URL) -> AsyncEngine:
        """Return an engine without a statement timeout. The URL must not be PgBouncer's."""
        direct = {"database_url": url, "database_migration_url": None, "database_pgbouncer": False}
        engine: AsyncEngine = self._backend_for(url).create_migration_engine(self.settings.model_copy(update=direct))
        return engine

    def create_migration_engine(self) -> AsyncEngine:
        """Return an engine for the database that the project's settings name.

        Raises:
            OperatorError: the settings name PgBouncer only.
        """
        backend = self._backend_for(self.settings.database_url)
        engine: AsyncEngine = backend.create_migration_engine(self.settings)
        return engine

    def migration_lock(self, connection: Connection) -> AbstractContextManager[None]:
        """Return a lock that keeps other processes from migrating the same database."""
        backend = self._backend_for(connection.engine.url)
        lock: AbstractContextManager[None] = getattr(backend, self._lock)(connection, self.settings)
        return lock


def connection_error(url: URL, error: BaseException) -> CommandError:
    where = url.set(query={}).render_as_string(hide_password=True)
    return CommandError(
        f"Cannot connect to {where} ({error_summary(error)}). Check that the server is running and the URL is correct."
    )


def error_summary(error: BaseException) -> str:
    """Return the error of the driver in one line, without the statement and its parameters."""
    cause = getattr(error, "orig", None) or error
    return f"{type(cause).__name__}: {cause}".partition("\n")[0]


def fail(message: object, status: int = 1) -> NoReturn:
    print(f"Error: {message}", file=sys.stderr)
    raise SystemExit(status)
