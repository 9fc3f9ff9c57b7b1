"""Tests of database sessions: cancellation, read-only sessions and HTTP methods."""

import asyncio

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from sqlalchemy import select
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncConnection
from support.models import HTTPSample, create_sample_table

from my_service.api.dependencies import SessionDep
from my_service.config import Settings
from my_service.database import Database


@pytest.fixture
async def samples(database: Database, connection: AsyncConnection) -> Database:
    await create_sample_table(connection)
    return database


async def names(database: Database) -> list[str]:
    async with database.read_only_session() as session:
        return list(await session.scalars(select(HTTPSample.name)))


async def test_session_rolls_back_after_cancellation(samples: Database) -> None:
    written = asyncio.Event()

    async def write_and_wait() -> None:
        async with samples.session() as session:
            session.add(HTTPSample(name="lost"))
            await session.flush()
            written.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(write_and_wait())
    await written.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await names(samples) == []


async def test_committed_entity_can_be_changed_in_the_next_session(samples: Database) -> None:
    async with samples.session() as session:
        sample = HTTPSample(name="first")
        session.add(sample)
    async with samples.session() as session:
        session.add(sample)
        sample.name = "second"
    assert sample.name == "second"
    assert sample.updated_at.tzinfo is not None
    assert await names(samples) == ["second"]


@pytest.mark.parametrize("change", ["changed", "deleted"])
async def test_read_only_session_refuses_changes_of_entities(samples: Database, change: str) -> None:
    async with samples.session() as session:
        session.add(HTTPSample(name="kept"))

    async def write() -> None:
        async with samples.read_only_session() as session:
            sample = (await session.scalars(select(HTTPSample))).one()
            if change == "changed":
                sample.name = "changed"
            else:
                await session.delete(sample)

    with pytest.raises(InvalidRequestError, match="read-only"):
        await write()
    assert await names(samples) == ["kept"]


@pytest.mark.parametrize(("method", "status"), [("GET", 500), ("HEAD", 500), ("POST", 200)])
async def test_only_unsafe_methods_can_write(
    app: FastAPI, client: AsyncClient, connection: AsyncConnection, method: str, status: int
) -> None:
    async def write(session: SessionDep) -> None:
        session.add(HTTPSample(name="written"))

    await create_sample_table(connection)
    app.add_api_route("/write", write, methods=[method])
    assert (await client.request(method, "/write")).status_code == status
    assert await names(app.state.database) == ([] if status == 500 else ["written"])


async def test_reader_does_not_wait_for_a_writer(settings: Settings) -> None:
    database = Database(settings)
    async with database.session(), asyncio.timeout(5), database.read_only_session() as session:
        assert await session.scalar(select(1)) == 1
    await database.dispose()


async def test_unused_pool_has_no_connections(settings: Settings) -> None:
    database = Database(settings)
    status = database.pool_status()
    assert (status.in_use, status.idle, status.overflow, status.waiting) == (0, 0, 0, 0)
    await database.dispose()
