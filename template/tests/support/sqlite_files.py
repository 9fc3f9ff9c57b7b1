"""Temporary SQLite databases."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import URL, make_url


class SQLiteDatabases:
    """Creates SQLite files in temporary directories, and deletes them."""

    @asynccontextmanager
    async def migrated(self, migrate: Callable[[URL], Awaitable[None]]) -> AsyncIterator[URL]:
        async with self.empty() as url:
            await migrate(url)
            yield url

    @asynccontextmanager
    async def empty(self) -> AsyncIterator[URL]:
        with TemporaryDirectory(prefix="sqlite-") as directory:
            yield make_url(f"sqlite+aiosqlite:///{Path(directory, 'test.db')}")
