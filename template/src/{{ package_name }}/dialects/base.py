"""What the rest of the service asks of a database server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from sqlalchemy import URL, Connection, TableClause
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from ..config import Settings


class Dialect(Protocol):
    def normalize_url(self, url: URL) -> URL:
        """The URL with the asynchronous driver in it, however the provider spelt it.

        Raises:
            ValueError: the URL cannot work; the message says why.
        """

    def create_engine(self, settings: Settings) -> AsyncEngine:
        """The engine of the application's traffic, with a pool of as many connections as there may be."""

    def pool_size(self, settings: Settings) -> int:
        """How many of them stay open."""

    def reading_options(self) -> dict[str, Any]:
        """Execution options of the traffic's connections when they are only read from."""

    def create_probe_engine(self, settings: Settings) -> AsyncEngine:
        """One connection apart from the traffic's, for health checks: it fails fast rather than waits."""

    def create_migration_engine(self, settings: Settings) -> AsyncEngine:
        """One connection, for as long as a migration takes."""

    async def create_database(self, settings: Settings) -> bool:
        """Create the database if it is missing; whether it was."""

    def migration_guard(self, connection: Connection, settings: Settings) -> AbstractContextManager[None]:
        """Keep other processes from migrating the same database meanwhile.

        Raises:
            OperatorError: for the operator to read: what the migration waited for, and what to do.
        """

    def read_environment(self, connection: Connection, version_table: TableClause) -> str | None:
        """What `write_environment` wrote into this database, if anything."""

    def write_environment(self, connection: Connection, version_table: TableClause, environment: str) -> None:
        """Have the database itself say what it is for."""

    async def is_writable(self, connection: AsyncConnection) -> bool:
        """Whether the server takes writes: one that follows another does not."""

    def is_transient(self, error: DBAPIError) -> bool:
        """Whether the same statement may succeed a moment later."""

    async def check_capacity(self, engine: AsyncEngine, settings: Settings) -> None:
        """Warn in the log if all processes together may open more connections than the server has."""
