"""Health checks of this process and its database."""

import asyncio
from collections.abc import Mapping
from time import monotonic
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from .backends.base import PARALLEL_PROBES, PROBE_TIMEOUT
from .database import CONNECTION_ERRORS, Database, error_summary
from .logs import get_logger
from .migrations import VERSION_TABLE, Revisions

logger = get_logger(__name__)

HEALTH_PREFIX = "/health"
MAXIMUM_DELAY = 1.0
"""Seconds after which the result of a probe no longer counts, if the next one is late."""


def is_health_path(scope: Mapping[str, Any]) -> bool:
    """Return whether a request is for the health endpoints. Such requests are not logged, traced or limited."""
    path: str = scope["path"].removeprefix(scope.get("root_path", ""))
    return path == HEALTH_PREFIX or path.startswith(f"{HEALTH_PREFIX}/")


class Health:
    """The checks of one process. A task probes the database, so that the checks answer at once, however far away it is.

    Args:
        revisions: the database migrations in this version of the code.
        interval: seconds between two probes; with 0, the probes end when one has passed.
    """

    def __init__(self, database: Database, revisions: Revisions, interval: float) -> None:
        self._database = database
        self._revisions = revisions
        self._interval = interval
        self._applied: frozenset[str] | None = None
        self._probed_at = 0.0  # the start of the newest probe with a result
        self._finished_at = 0.0
        self.draining = False
        """True after a signal to stop. The process still answers, but readiness fails."""

    async def watch(self) -> None:
        """Probe the database until canceled. A slow probe does not delay the next one."""
        probes: set[asyncio.Task[None]] = set()
        try:
            while self._interval > 0 or not self.checks()["migrations"]:
                await asyncio.sleep(self._interval or MAXIMUM_DELAY)
                if len(probes) < PARALLEL_PROBES:
                    probes.add(probe := asyncio.create_task(self.probe()))
                    probe.add_done_callback(probes.discard)
        finally:
            for probe in probes:
                probe.cancel()
            if probes:
                await asyncio.wait(probes)  # until they have closed their connections

    async def probe(self) -> None:
        """Query the applied revisions, for the next checks."""
        started = monotonic()
        applied = await self._query_revisions()
        if started > self._probed_at:
            self._applied, self._probed_at, self._finished_at = applied, started, monotonic()

    def checks(self) -> dict[str, bool]:
        """Return the conditions for serving requests, and whether each holds."""
        is_current = self._interval == 0 or monotonic() - self._finished_at < self._interval + MAXIMUM_DELAY
        applied = self._applied if is_current else None
        return {
            "database": applied is not None,
            "migrations": applied is not None and self._revisions.is_compatible(applied),
            "accepting": not self.draining,
        }

    async def _query_revisions(self) -> frozenset[str] | None:
        """Return the applied revisions, or None if the database is down, read-only or silent."""
        try:
            async with asyncio.timeout(PROBE_TIMEOUT), self._database.probe_engine.connect() as connection:
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
