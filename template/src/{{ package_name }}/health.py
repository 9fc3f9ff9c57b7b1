"""Health checks of this process and its database, with a deadline."""

import asyncio

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from .database import CONNECTION_ERRORS, Database, error_summary
from .logs import get_logger
from .migrations import VERSION_TABLE, Revisions

logger = get_logger(__name__)

HEALTH_PREFIX = "/health"


def is_health_path(path: str) -> bool:
    """Return whether a path belongs to the health endpoints. Their requests are not logged, traced or limited."""
    return path == HEALTH_PREFIX or path.startswith(f"{HEALTH_PREFIX}/")


class Health:
    """The checks of one process.

    Args:
        revisions: the database migrations in this version of the code.
    """

    deadline = 0.08
    """Seconds to wait for the database, so that the endpoints answer within 100 ms."""

    def __init__(self, database: Database, revisions: Revisions) -> None:
        self._database = database
        self._revisions = revisions
        self._probe: asyncio.Task[frozenset[str] | None] | None = None
        self.draining = False
        """True after a signal to stop. The process still answers, but readiness fails."""

    async def database_answers(self) -> bool:
        return await self._applied_revisions() is not None

    async def checks(self) -> dict[str, bool]:
        """Return the conditions for serving requests, and whether each holds."""
        applied = await self._applied_revisions()
        return {
            "database": applied is not None,
            "migrations": applied is not None and self._revisions.is_compatible(applied),
        }

    async def _applied_revisions(self) -> frozenset[str] | None:
        """Return the applied revisions, or None if the database is down, read-only, or slower than the deadline.

        Simultaneous checks share one query. After the deadline it is canceled but not awaited: closing a connection to
        a silent server takes seconds.
        """
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._query_revisions())
        probe = self._probe
        await asyncio.wait({probe}, timeout=self.deadline)
        if probe.done():
            return None if probe.cancelled() else probe.result()
        probe.cancel()
        if self._probe is probe:
            self._probe = None
            logger.warning("health_database_timeout", timeout_seconds=self.deadline)
        return None

    async def _query_revisions(self) -> frozenset[str] | None:
        try:
            async with self._database.probe_engine.connect() as connection:
                if not await self._database.backend.is_writable(connection):
                    logger.warning("health_database_read_only")
                    return None
                try:
                    return frozenset(await connection.scalars(select(VERSION_TABLE.c.version_num)))
                except DBAPIError as error:
                    if error.connection_invalidated:
                        raise
                    return frozenset()  # the database answers, but was never migrated
        except CONNECTION_ERRORS as error:
            # The reason may contain hosts and users, so it goes to the log only.
            logger.warning("health_database_down", reason=error_summary(error))
            return None
