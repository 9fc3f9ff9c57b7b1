"""The database: one engine a process, its sessions, and what can be asked about both."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NoReturn

from sqlalchemy import URL, event, text
from sqlalchemy.exc import InvalidRequestError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import ORMExecuteState, Session

from .dialects import dialect_for
from .errors import DatabaseUnavailableError, OperatorError
from .logs import get_logger
from .pool import ConnectionPool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .config import Settings

logger = get_logger(__name__)

CONNECTION_ERRORS = (OSError, TimeoutError, SQLAlchemyError)
"""How a failing connection shows: drivers let the operating system's errors through."""

LONGEST_RETRY_DELAY = 5.0


class Database:
    """Owns the engines of a process; create it when the application starts and dispose of it at the end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.dialect = dialect_for(settings.database_url)
        self.engine = self.dialect.create_engine(settings)
        # Health checks must not wait behind requests, nor take a connection from them.
        self.probe_engine = self.dialect.create_probe_engine(settings)
        self.pool = ConnectionPool(self.engine, self.dialect.pool_size(settings))
        self.sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        reading = self.engine.execution_options(**self.dialect.reading_options())
        self.reading_sessions = async_sessionmaker(reading, sync_session_class=ReadingSession, expire_on_commit=False)

    async def connect(self) -> None:
        """Wait until the database answers, trying again with growing delays.

        Raises:
            OperatorError: it did not within `DATABASE_STARTUP_TIMEOUT`.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.database_startup_timeout
        delay = 0.1
        while True:
            try:
                await self.ping()
            except CONNECTION_ERRORS as error:
                if loop.time() + delay > deadline:
                    raise unreachable(self._settings.database_url, error) from error
                logger.warning("database_not_ready", reason=reason_of(error), retry_in=delay)
            else:
                await self.dialect.check_capacity(self.probe_engine, self._settings)
                return
            await asyncio.sleep(delay)
            delay = min(2 * delay, LONGEST_RETRY_DELAY)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """A session whose transaction commits at the end, and rolls back if anything was raised.

        Raises:
            DatabaseUnavailableError: no connection was to be had.
        """
        async with self.pool.turn(), self.sessions() as session:
            await _connect(session)
            yield session
            await session.commit()

    @asynccontextmanager
    async def reading_session(self) -> AsyncIterator[AsyncSession]:
        """A session for queries, spared what it takes to begin and end transactions.

        Raises:
            DatabaseUnavailableError: no connection was to be had.
            InvalidRequestError: something was to be written.
        """
        async with self.pool.turn(), self.reading_sessions() as session:
            await _connect(session)
            yield session
            if session.new or session.dirty or session.deleted:
                _refuse_to_write()

    async def ping(self) -> None:
        """Have the database answer a query.

        Raises:
            OSError, TimeoutError, SQLAlchemyError: it does not.
        """
        async with self.probe_engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def dispose(self) -> None:
        """Close all connections."""
        await self.engine.dispose()
        await self.probe_engine.dispose()


class ReadingSession(Session):
    """Writes nothing: it would not be undone when the request fails."""


@event.listens_for(ReadingSession, "before_flush")
def _refuse_to_write(*_: object) -> NoReturn:
    raise InvalidRequestError("This session only reads. What GET is asked for writes nothing: use another method.")


@event.listens_for(ReadingSession, "do_orm_execute")
def _refuse_to_execute(statement: ORMExecuteState) -> None:
    if statement.is_insert or statement.is_update or statement.is_delete:
        _refuse_to_write()


async def _connect(session: AsyncSession) -> None:
    try:
        await session.connection()
    except CONNECTION_ERRORS as error:
        logger.warning("database_unavailable", reason=reason_of(error))
        raise DatabaseUnavailableError from error


def unreachable(url: URL, error: BaseException) -> OperatorError:
    where = url.set(query={}).render_as_string(hide_password=True)
    return OperatorError(
        f"The database at {where} does not answer ({reason_of(error)}). Is it running, and is DATABASE_URL right?"
    )


def reason_of(error: BaseException) -> str:
    """One line without the statement or its parameters."""
    cause = getattr(error, "orig", None) or error
    return f"{type(cause).__name__}: {cause}".partition("\n")[0]
