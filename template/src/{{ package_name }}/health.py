"""The truth about this process and its database, within a deadline."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from .database import CONNECTION_ERRORS, reason_of
from .logs import get_logger
from .migrations import VERSION_TABLE

if TYPE_CHECKING:
    from .database import Database
    from .migrations import Revisions

logger = get_logger(__name__)

PREFIX = "/health"
"""Where the endpoints are: asked every few seconds, they are neither logged nor traced nor refused."""


class Health:
    """The checks of one process.

    Args:
        revisions: the migrations that come with this code.
    """

    deadline = 0.08
    """Seconds for the database's answer: the endpoints promise theirs within 100 ms."""

    def __init__(self, database: Database, revisions: Revisions) -> None:
        self._database = database
        self._revisions = revisions
        self._probe: asyncio.Task[frozenset[str] | None] | None = None
        self.draining = False
        """Set once the process was asked to stop: it still answers, but wants no more work."""

    async def database_answers(self) -> bool:
        return await self._applied_revisions() is not None

    async def checks(self) -> dict[str, bool]:
        """What has to hold before requests are worked on, and whether it does."""
        applied = await self._applied_revisions()
        return {
            "database": applied is not None,
            "migrations": applied is not None and self._revisions.are_met_by(applied),
        }

    async def _applied_revisions(self) -> frozenset[str] | None:
        """What the database says, or None when it does not within the deadline.

        All who ask at the same time share one query. It is cancelled but not awaited when its time
        is up: a connection to a server that went silent takes seconds to close.
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
            logger.warning("health_database_silent", seconds=self.deadline)
        return None

    async def _query_revisions(self) -> frozenset[str] | None:
        try:
            async with self._database.probe_engine.connect() as connection:
                if not await self._database.dialect.is_writable(connection):
                    logger.warning("health_database_read_only")
                    return None
                try:
                    return frozenset(await connection.scalars(select(VERSION_TABLE.c.version_num)))
                except DBAPIError as error:
                    if error.connection_invalidated:
                        raise
                    return frozenset()  # the database answers, but nothing was ever migrated
        except CONNECTION_ERRORS as error:
            # The reason may name hosts and users, so it is for the log alone.
            logger.warning("health_database_down", reason=reason_of(error))
            return None
