"""Tests of the cache of items with the real pool and real commits."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient
from real_pool import connected, recorded, running

from my_service.api.routes import items
from my_service.config import Settings
from my_service.database import Database
from my_service.models import Item
from my_service.repositories import SQLAlchemyRepository
from my_service.schemas.item import ItemUpdate
from my_service.services.item import ItemService

ITEMS = "/api/v1/items"


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    async with running(settings) as app:
        yield app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[AsyncClient]:
    async with connected(app) as client:
        yield client


@pytest.fixture
async def item(client: AsyncClient) -> str:
    """The path of a created item."""
    created = await client.post(ITEMS, json={"name": "Teapot"})
    assert created.status_code == 201
    return f"{ITEMS}/{created.json()['id']}"


async def name(client: AsyncClient, item: str) -> str:
    found: str = (await client.get(item)).json()["name"]
    return found


async def reads_of_items(app: FastAPI, client: AsyncClient, *paths: str) -> int:
    """Return how many statements on items the requests send."""
    with recorded(app.state.database.engine) as statements:
        for path in paths:
            assert (await client.get(path)).status_code == 200
    return sum("item" in statement for statement in statements)


async def test_reader_between_flush_and_commit_leaves_nothing_in_the_cache(
    app: FastAPI, client: AsyncClient, item: str
) -> None:
    database: Database = app.state.database
    async with database.session() as session:
        service = ItemService(SQLAlchemyRepository(session, Item), app.state.cache)
        changed = await service.update(UUID(item[-36:]), ItemUpdate(name="Kettle"))
        assert changed.version == 2
        assert await name(client, item) == "Teapot"
    assert await name(client, item) == "Kettle"


async def test_reader_during_a_delete_leaves_nothing_in_the_cache(app: FastAPI, client: AsyncClient, item: str) -> None:
    database: Database = app.state.database
    async with database.session() as session:
        await ItemService(SQLAlchemyRepository(session, Item), app.state.cache).delete(UUID(item[-36:]))
        assert await name(client, item) == "Teapot"
        assert (await client.get(f"{ITEMS}/count")).json() == {"count": 1}
    assert (await client.get(item)).status_code == 404
    assert (await client.get(f"{ITEMS}/count")).json() == {"count": 0}


async def test_load_that_began_before_the_commit_is_not_stored(app: FastAPI, client: AsyncClient, item: str) -> None:
    """The reader has the old row, and continues after the commit of the change."""
    read, committed = asyncio.Event(), asyncio.Event()
    get: Callable[..., Any] = SQLAlchemyRepository.get

    async def get_and_wait(*arguments: Any, **options: Any) -> Any:
        found = await get(*arguments, **options)
        if not read.is_set():
            read.set()
            await committed.wait()
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SQLAlchemyRepository, "get", get_and_wait)
        reader = asyncio.create_task(name(client, item))
        await read.wait()
        assert (await client.patch(item, json={"name": "Kettle"})).status_code == 200
        committed.set()
        assert await reader == "Teapot"
    assert await name(client, item) == "Kettle"


@pytest.mark.parametrize(
    ("change", "headers", "status"), [({"name": "Kettle"}, {}, 409), ({"name": "Cup"}, {"If-Match": '"9"'}, 412)]
)
async def test_rolled_back_change_keeps_the_cache(
    app: FastAPI, client: AsyncClient, item: str, change: dict[str, str], headers: dict[str, str], status: int
) -> None:
    await client.post(ITEMS, json={"name": "Kettle"})
    assert await reads_of_items(app, client, item, f"{ITEMS}/count") == 2
    assert (await client.patch(item, json=change, headers=headers)).status_code == status
    assert (await client.post(ITEMS, json={"name": "Kettle"})).status_code == 409
    assert await reads_of_items(app, client, item, f"{ITEMS}/count") == 0
    assert await name(client, item) == "Teapot"


async def test_change_reads_the_database_rather_than_the_cache(app: FastAPI, client: AsyncClient, item: str) -> None:
    """Another process changes the item, so that the cache has an older version."""
    assert await name(client, item) == "Teapot"
    database: Database = app.state.database
    async with database.session() as session:
        (await session.get_one(Item, UUID(item[-36:]))).name = "Kettle"
    cached = await client.get(item)
    assert (cached.json()["name"], cached.headers["ETag"]) == ("Teapot", '"1"')
    outdated = {"If-Match": cached.headers["ETag"]}
    assert (await client.patch(item, json={"name": "Cup"}, headers=outdated)).status_code == 412
    assert (await client.delete(item, headers=outdated)).status_code == 412


async def test_cached_item_needs_no_connection(app: FastAPI, client: AsyncClient, item: str) -> None:
    database: Database = app.state.database
    # Authentication would need a connection.
    public = FastAPI()
    public.state = app.state
    public.include_router(items.router, prefix="/api/v1")
    async with (
        AsyncClient(transport=ASGITransport(public), base_url="http://test") as reader,
        AsyncExitStack() as stack,
    ):
        assert await name(reader, item) == "Teapot"
        limit = database.backend.max_connections(app.state.settings)
        for _ in range(limit):
            await stack.enter_async_context(database.read_only_session())
        assert database.pool_status().in_use == limit
        async with asyncio.timeout(5):
            assert await name(reader, item) == "Teapot"
            assert (await reader.get(item, headers={"If-None-Match": '"1"'})).status_code == 304


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [("cache_ttl", 30, 0), ("cache_ttl", 0.000_001, 2), ("cache_size", 2, 0), ("cache_size", 1, 2)],
)
async def test_settings_limit_age_and_number_of_entries(
    settings: Settings, setting: str, value: float, expected: int
) -> None:
    limits = {"cache_ttl": 30, "cache_size": 1024}
    async with (
        running(settings.model_copy(update={**limits, setting: value})) as app,
        connected(app) as client,
    ):
        paths = []
        for number in range(2):
            created = await client.post(ITEMS, json={"name": str(number)})
            paths.append(f"{ITEMS}/{created.json()['id']}")
        assert await reads_of_items(app, client, *paths) == 2
        assert await reads_of_items(app, client, *paths) == expected
