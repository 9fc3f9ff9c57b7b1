"""The database of a process: engines, sessions, and the queue for connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

from sqlalchemy import URL, QueuePool, event, text
from sqlalchemy.exc import InvalidRequestError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import ORMExecuteState, Session

from .backends import backend_for
from .config import Settings
from .errors import DatabaseUnavailableError, OperatorError
from .logs import get_logger
from .schemas.health import PoolStatus

logger = get_logger(__name__)

CONNECTION_ERRORS = (OSError, TimeoutError, SQLAlchemyError)
"""Errors of a failing connection. `OSError` is here because drivers let it pass unchanged."""


class Database:
    """Owns the engines of a process. The application's lifespan creates, connects and disposes of it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.backend = backend_for(settings.database_url)
        self.engine = self.backend.create_engine(settings)
        # Health checks do not wait behind requests, nor take a connection from them.
        self.probe_engine = self.backend.create_probe_engine(settings)
        self.sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        read_only = self.engine.execution_options(**self.backend.read_only_options())
        self.read_only_sessions = async_sessionmaker(
            read_only, sync_session_class=ReadOnlySession, expire_on_commit=False
        )
        # Requests get connections in the order of their arrival. The pool itself would serve the latest request first.
        self._queue = asyncio.Semaphore(self.backend.max_connections(settings))
        self._trimming: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Wait until the database answers, retrying with growing delays.

        Raises:
            OperatorError: it did not answer within `DATABASE_STARTUP_TIMEOUT`.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.database_startup_timeout
        delay = 0.1
        while True:
            try:
                async with self.probe_engine.connect() as connection:
                    await connection.execute(text("SELECT 1"))
                await self.backend.check_connection_limit(self.probe_engine, self._settings)
            except CONNECTION_ERRORS as error:
                if loop.time() + delay > deadline:
                    raise connection_error(self._settings.database_url, error) from error
                logger.warning("database_not_ready", reason=error_summary(error), retry_seconds=delay)
            else:
                break
            await asyncio.sleep(delay)
            delay = min(2 * delay, 5.0)
        self._trimming = asyncio.create_task(self.backend.trim_pool(self.engine))

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """Yield a session whose transaction commits at the end, and rolls back if anything was raised.

        Raises:
            DatabaseUnavailableError: no connection could be opened, or none became free in time.
        """
        async with self._connection_slot(), self.sessions() as session:
            await _open_connection(session)
            yield session
            await session.commit()

    @asynccontextmanager
    async def read_only_session(self) -> AsyncIterator[AsyncSession]:
        """Yield a session for queries, without the round trips that begin and end a transaction.

        Raises:
            DatabaseUnavailableError: no connection could be opened, or none became free in time.
            InvalidRequestError: the session was used to write.
        """
        async with self._connection_slot(), self.read_only_sessions() as session:
            await _open_connection(session)
            yield session
            if session.new or session.dirty or session.deleted:
                _refuse_write()

    def pool_status(self) -> PoolStatus:
        pool = self.engine.pool
        assert isinstance(pool, QueuePool)
        return PoolStatus(in_use=pool.checkedout(), idle=pool.checkedin(), overflow=max(0, pool.overflow()))

    async def dispose(self) -> None:
        """Close all connections."""
        if self._trimming is not None:
            self._trimming.cancel()
        await self.engine.dispose()
        await self.probe_engine.dispose()

    @asynccontextmanager
    async def _connection_slot(self) -> AsyncIterator[None]:
        timeout = self.engine.pool.timeout()  # type: ignore[attr-defined]
        try:
            async with asyncio.timeout(timeout):
                await self._queue.acquire()
        except TimeoutError as error:
            logger.warning("connection_pool_timeout", timeout_seconds=timeout)
            raise DatabaseUnavailableError from error
        try:
            yield
        finally:
            self._queue.release()


class ReadOnlySession(Session):
    """Refuses writes: without a transaction, they would stay in the database if the request fails."""


@event.listens_for(ReadOnlySession, "before_flush")
def _refuse_write(*_: object) -> NoReturn:
    raise InvalidRequestError("GET sessions are read-only; use POST, PATCH or DELETE.")


@event.listens_for(ReadOnlySession, "do_orm_execute")
def _refuse_write_statement(statement: ORMExecuteState) -> None:
    if statement.is_insert or statement.is_update or statement.is_delete:
        _refuse_write()


async def _open_connection(session: AsyncSession) -> None:
    try:
        await session.connection()
    except CONNECTION_ERRORS as error:
        logger.warning("database_unavailable", reason=error_summary(error))
        raise DatabaseUnavailableError from error


def connection_error(url: URL, error: BaseException) -> OperatorError:
    """Return the error for the person who runs the service. It hides the password."""
    where = url.set(query={}).render_as_string(hide_password=True)
    return OperatorError(
        f"Cannot connect to the database at {where} ({error_summary(error)}). "
        "Check that the server is running and that DATABASE_URL is correct."
    )


def error_summary(error: BaseException) -> str:
    """Return one line without the statement and its parameters."""
    cause = getattr(error, "orig", None) or error
    return f"{type(cause).__name__}: {cause}".partition("\n")[0]
