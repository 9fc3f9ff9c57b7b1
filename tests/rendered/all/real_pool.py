"""The application with its real pool and real commits. The fixtures of `tests/conftest.py` roll everything back."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient
from sqlalchemy import MetaData, delete, event
from sqlalchemy.ext.asyncio import AsyncEngine

from my_service.config import Settings
from my_service.database import Database
from my_service.main import create_app
from my_service.models import Base


@asynccontextmanager
async def opened(settings: Settings, tables: MetaData) -> AsyncIterator[Database]:
    """Yield a database with these tables, and drop them at the end."""
    database = Database(settings)
    async with database.engine.begin() as connection:
        await connection.run_sync(tables.create_all)
    try:
        yield database
    finally:
        async with database.engine.begin() as connection:
            await connection.run_sync(tables.drop_all)
        await database.dispose()


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[FastAPI]:
    """Yield the started application. At the end, check that no connection is out, and delete all rows."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        app.state.health.deadline = 10
        try:
            yield app
            assert app.state.database.pool_status().in_use == 0
        finally:
            await delete_rows(app.state.database)


async def delete_rows(database: Database, tables: MetaData = Base.metadata) -> None:
    """Delete all rows of these tables. The default are the tables that migrations create."""
    async with database.session() as session:
        for table in reversed(tables.sorted_tables):
            await session.execute(delete(table))


@asynccontextmanager
async def connected(app: FastAPI) -> AsyncIterator[AsyncClient]:
    """Yield a client. If the service has users, a user of it is signed in."""
    async with AsyncClient(transport=ASGITransport(app), base_url="http://test") as client:
        if find_spec("support.users"):
            client.headers.update(await import_module("support.users").sign_in(app))
        yield client


@contextmanager
def recorded(engine: AsyncEngine) -> Iterator[list[str]]:
    """Yield the list of the statements that the pool's connections execute."""
    statements: list[str] = []

    def record(*arguments: Any) -> None:
        statements.append(arguments[2])

    event.listen(engine.sync_engine, "before_cursor_execute", record)
    yield statements
    event.remove(engine.sync_engine, "before_cursor_execute", record)
