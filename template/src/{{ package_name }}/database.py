"""The database of a process: engines, sessions, and the queue for connections."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any, NoReturn

from sqlalchemy import URL, Engine, QueuePool, TextClause, event, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import InvalidRequestError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import ORMExecuteState, Session

from .backends import backend_for
from .config import Settings
from .errors import DatabaseUnavailableError, OperatorError
from .logs import get_logger
from .schemas.health import PoolStatus

logger = get_logger(__name__)

AFTER_COMMIT = "after_commit"
"""Key in `Session.info` of the functions to call after the commit."""

CLOSE_TIMEOUT = 1.0  # seconds

SET_LOCAL = re.compile(r"\s*SET\s+LOCAL\b", re.IGNORECASE)

CONNECTION_ERRORS = (OSError, TimeoutError, SQLAlchemyError)
"""Errors of a failing connection. `OSError` is here because drivers let it pass unchanged."""


class Database:
    """Owns the engines of a process. The application's lifespan creates, connects and disposes of it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.backend = backend_for(settings.database_url)
        self.engine = self.backend.create_engine(settings)
        if settings.database_slow_query_threshold:
            _log_slow_statements(self.engine.sync_engine, settings.database_slow_query_threshold)
        # Health checks do not wait behind requests, nor take a connection from them.
        self.probe_engine = self.backend.create_probe_engine(settings)
        # A session that is used after its end raises an error. By default, it would open a transaction without an end.
        options: dict[str, Any] = {"expire_on_commit": False, "close_resets_only": False}
        self.sessions = async_sessionmaker(self.engine, **options)
        read_only = self.engine.execution_options(**self.backend.read_only_options())
        self.read_only_sessions = async_sessionmaker(read_only, sync_session_class=ReadOnlySession, **options)
        # Requests get connections in the order of their arrival. The pool itself would serve the latest request first.
        self._queue = asyncio.Semaphore(self.backend.max_connections(settings))
        self._waiting = 0
        self._trimming: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Wait until the database answers, retrying with growing delays.

        Raises:
            OperatorError: it did not answer within `DATABASE_STARTUP_TIMEOUT`.
        """
        deadline = monotonic() + self._settings.database_startup_timeout
        delay = 0.1
        while True:
            try:
                async with self.probe_engine.connect() as connection:
                    await connection.execute(text("SELECT 1"))
                await self.backend.check_connection_limit(self.probe_engine, self._settings)
                break
            except CONNECTION_ERRORS as error:
                if monotonic() + delay > deadline:
                    raise connection_error(self._settings.database_url, error) from error
                logger.warning("database_not_ready", reason=error_summary(error), retry_seconds=delay)
            await asyncio.sleep(delay)
            delay = min(2 * delay, 5.0)
        self._trimming = asyncio.create_task(self.backend.trim_pool(self.engine))

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """Yield a session whose transaction commits at the end, and rolls back if anything was raised.

        Raises:
            DatabaseUnavailableError: no connection could be opened, or none became free in time.
        """
        async with self._connected(self.sessions) as session:
            yield session
            await session.commit()
            for action in session.info.get(AFTER_COMMIT, ()):
                action()

    @asynccontextmanager
    async def read_only_session(self) -> AsyncIterator[AsyncSession]:
        """Yield a session for queries, without the round trips that begin and end a transaction.

        Raises:
            DatabaseUnavailableError: no connection could be opened, or none became free in time.
            InvalidRequestError: the session was used for something that needs a transaction.
        """
        async with self._connected(self.read_only_sessions) as session:
            yield session
            if session.new or session.dirty or session.deleted:
                _refuse("write")

    def pool_status(self) -> PoolStatus:
        pool = self.engine.pool
        assert isinstance(pool, QueuePool)
        return PoolStatus(
            in_use=pool.checkedout(),
            idle=pool.checkedin(),
            overflow=max(0, pool.overflow()),
            limit=self.backend.max_connections(self._settings),
            waiting=self._waiting,
        )

    async def dispose(self) -> None:
        """Close all connections. A silent server does not delay that for more than `CLOSE_TIMEOUT`."""
        if self._trimming is not None:
            self._trimming.cancel()
        closing = [asyncio.create_task(engine.dispose()) for engine in (self.engine, self.probe_engine)]
        _, silent = await asyncio.wait(closing, timeout=CLOSE_TIMEOUT)
        for task in silent:
            task.cancel()

    @asynccontextmanager
    async def _connected(self, sessions: async_sessionmaker[AsyncSession]) -> AsyncIterator[AsyncSession]:
        timeout = self.engine.pool.timeout()  # type: ignore[attr-defined]
        self._waiting += 1
        try:
            async with asyncio.timeout(timeout):
                await self._queue.acquire()
        except TimeoutError as error:
            logger.warning("connection_pool_timeout", timeout_seconds=timeout)
            raise DatabaseUnavailableError from error
        finally:
            self._waiting -= 1
        try:
            async with sessions() as session:
                try:
                    await session.connection()
                except CONNECTION_ERRORS as error:
                    logger.warning("database_unavailable", reason=error_summary(error))
                    raise DatabaseUnavailableError from error
                yield session
        finally:
            self._queue.release()


class ReadOnlySession(Session):
    """Refuses everything that needs a transaction, because it has none.

    It cannot see what textual SQL does: there, only `SET LOCAL` is refused.
    """

    def begin_nested(self) -> NoReturn:
        _refuse("use savepoints")


@event.listens_for(ReadOnlySession, "before_flush")
def _refuse_flush(*_: object) -> NoReturn:
    _refuse("write")


@event.listens_for(ReadOnlySession, "do_orm_execute")
def _refuse_statement(execution: ORMExecuteState) -> None:
    if execution.is_insert or execution.is_update or execution.is_delete:
        _refuse("write")
    if execution.execution_options.get("stream_results"):
        _refuse("stream rows")
    if getattr(execution.statement, "_for_update_arg", None) is not None:
        _refuse("lock rows")
    if isinstance(execution.statement, TextClause) and SET_LOCAL.match(execution.statement.text):
        _refuse("use SET LOCAL")


def _refuse(action: str) -> NoReturn:
    raise InvalidRequestError(
        f"GET sessions are read-only and cannot {action}. Use POST, PATCH or DELETE, or database.session()."
    )


def _log_slow_statements(engine: Engine, threshold: float) -> None:
    def log_if_slow(context: Any) -> None:
        if (duration := monotonic() - context.started) >= threshold:
            logger.warning("slow_statement", statement=context.statement, duration_seconds=round(duration, 3))

    @event.listens_for(engine, "before_cursor_execute")
    def start(*arguments: Any) -> None:
        arguments[4].started = monotonic()  # the context of this execution

    @event.listens_for(engine, "after_cursor_execute")
    def finish(*arguments: Any) -> None:
        log_if_slow(arguments[4])

    @event.listens_for(engine, "handle_error")
    def fail(error: ExceptionContext) -> None:
        if hasattr(error.execution_context, "started"):
            log_if_slow(error.execution_context)


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
    if isinstance(cause, TimeoutError):
        cause = TimeoutError("no answer in time")  # those of asyncio and drivers have no text
    return f"{type(cause).__name__}: {cause}".partition("\n")[0]
