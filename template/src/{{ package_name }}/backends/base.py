"""Interface to a database server. The defaults suit a server without special features."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from sqlalchemy import Connection, TableClause
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from ..config import Settings

PROBE_TIMEOUT = 5.0  # seconds; a new connection to a distant server takes about ten round trips
PARALLEL_PROBES = 8  # silent connections must not keep the next probe from trying another one


class Backend(Protocol):
    drop_table: str = "DROP TABLE {}"  # also if other tables refer to it

    def create_engine(self, settings: Settings) -> AsyncEngine:
        """Return the engine for requests, with a pool of at most `max_connections`."""

    def max_connections(self, settings: Settings) -> int:
        """Return how many connections the pool may open, including overflow."""

    def read_only_options(self) -> dict[str, Any]:
        """Return execution options for connections that are only read from."""

    async def trim_pool(self, engine: AsyncEngine) -> None:
        """Close overflow connections that are no longer needed, until canceled."""
        return

    def create_probe_engine(self, settings: Settings) -> AsyncEngine:
        """Return an engine with `PARALLEL_PROBES` connections for health checks, which fails fast rather than waits."""

    def create_migration_engine(self, settings: Settings) -> AsyncEngine:
        """Return an engine without a pool, whose connection may be used for as long as a migration takes."""

    async def create_database(self, settings: Settings) -> bool:
        """Create the database if it is missing; return whether it was."""

    def migration_lock(self, connection: Connection, settings: Settings) -> AbstractContextManager[None]:
        """Keep other processes from migrating the same database meanwhile.

        Raises:
            OperatorError: the lock or a table stayed in use for too long; the message says what to do.
        """
        return nullcontext()

    def check_foreign_keys(self, connection: Connection) -> None:
        """Check the references of all rows after a migration, if the server did not check them.

        Raises:
            OperatorError: a row refers to a row that does not exist.
        """
        return

    def read_environment(self, connection: Connection, version_table: TableClause) -> str | None:
        """Return the environment that `write_environment` stored in this database, if any."""

    def write_environment(self, connection: Connection, version_table: TableClause, environment: str) -> None:
        """Store the environment in the database itself, so that commands can refuse to destroy production."""

    async def is_writable(self, connection: AsyncConnection) -> bool:
        """Return whether the server accepts writes; a standby does not."""

    def is_transient(self, error: DBAPIError) -> bool:
        """Return whether the same statement may succeed a moment later."""

    def is_invalid_value(self, error: StatementError) -> bool:
        """Return whether a value was refused, by its column type, the driver or the server."""
        return isinstance(error.orig, ValueError | OverflowError)

    async def check_connection_limit(self, engine: AsyncEngine, settings: Settings) -> None:
        """Log a warning if all processes together may open more connections than the server allows."""
        return
