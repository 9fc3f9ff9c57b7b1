"""Tests of database sessions: their end, cancellation, read-only sessions, HTTP methods and WebSockets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from fastapi.websockets import WebSocket
from httpx2 import AsyncClient
from real_pool import connected, opened, running
from sqlalchemy import insert, literal, select, text, update
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from structlog.typing import EventDict
from support.models import HTTPSample, create_sample_table

from my_service.api.dependencies import DatabaseDep, SessionDep
from my_service.config import Settings
from my_service.database import Database
from my_service.logs import get_logger
from my_service.main import create_app


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
    app.add_api_route("/write", write, methods=["GET", "POST"])
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


@pytest.fixture
async def real_app(settings: Settings) -> AsyncIterator[FastAPI]:
    """The application with its real pool. At the end, no connection may be out."""
    async with running(settings) as app:
        yield app


async def use(session: AsyncSession) -> None:
    await session.execute(text("SELECT 1"))


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_stream_cannot_use_the_session_of_its_request(real_app: FastAPI, method: str) -> None:
    async def rows(session: AsyncSession) -> AsyncIterator[bytes]:
        yield b"first"
        await use(session)

    @real_app.api_route("/stream", methods=["GET", "POST"])
    async def stream(session: SessionDep) -> StreamingResponse:
        await use(session)
        return StreamingResponse(rows(session))

    async with connected(real_app) as client:
        with pytest.raises(InvalidRequestError, match="closed"):
            await client.request(method, "/stream")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_background_task_cannot_use_the_session_of_its_request(real_app: FastAPI, method: str) -> None:
    @real_app.api_route("/later", methods=["GET", "POST"])
    async def work_later(session: SessionDep, tasks: BackgroundTasks) -> None:
        tasks.add_task(use, session)

    async with connected(real_app) as client:
        with pytest.raises(InvalidRequestError, match="closed"):
            await client.request(method, "/later")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_forgotten_task_cannot_use_the_session_of_its_request(real_app: FastAPI, method: str) -> None:
    answered = asyncio.Event()
    tasks: list[asyncio.Task[None]] = []

    async def wait_and_use(session: AsyncSession) -> None:
        await answered.wait()
        await use(session)

    @real_app.api_route("/forget", methods=["GET", "POST"])
    async def forget(session: SessionDep) -> None:
        tasks.append(asyncio.create_task(wait_and_use(session)))

    async with connected(real_app) as client:
        assert (await client.request(method, "/forget")).status_code == 200
    answered.set()
    with pytest.raises(InvalidRequestError, match="closed"):
        await tasks[0]


async def test_stream_can_use_a_session_of_its_own(real_app: FastAPI) -> None:
    async def rows(database: Database) -> AsyncIterator[str]:
        async with database.session() as session:
            async for row in await session.stream_scalars(select(literal("row")).union_all(select(literal("last")))):
                yield row

    @real_app.get("/stream")
    async def stream(database: DatabaseDep) -> StreamingResponse:
        return StreamingResponse(rows(database))

    async with connected(real_app) as client:
        assert (await client.get("/stream")).text == "rowlast"


@pytest.fixture
async def real_samples(settings: Settings) -> AsyncIterator[Database]:
    """A database with its real pool, and with a committed row."""
    async with opened(settings, HTTPSample.metadata) as database:
        async with database.session() as session:
            session.add(HTTPSample(name="kept"))
        yield database


async def first(session: AsyncSession) -> HTTPSample:
    return (await session.scalars(select(HTTPSample))).one()


async def change(session: AsyncSession) -> None:
    (await first(session)).name = "changed"


async def remove(session: AsyncSession) -> None:
    await session.delete(await first(session))


async def refresh_and_lock(session: AsyncSession) -> None:
    await session.refresh(await first(session), with_for_update=True)


REFUSED: dict[str, Callable[[AsyncSession], Awaitable[object]]] = {
    "change": change,
    "delete": remove,
    "merge": lambda session: session.merge(HTTPSample(name="added")),
    "insert": lambda session: session.execute(insert(HTTPSample).values(name="added")),
    "update": lambda session: session.execute(update(HTTPSample).values(name="changed")),
    "stream": lambda session: session.stream(select(HTTPSample)),
    "stream of text": lambda session: session.stream(text("SELECT 1")),
    "lock": lambda session: session.scalars(select(HTTPSample).with_for_update()),
    "refresh with lock": refresh_and_lock,
    "savepoint": lambda session: session.begin_nested().start(),
    "SET LOCAL": lambda session: session.execute(text("SET LOCAL lock_timeout = 1")),
    "set local": lambda session: session.execute(text("\n  set  local lock_timeout = 1")),
}


@pytest.mark.parametrize("use", REFUSED)
async def test_read_only_session_of_the_real_pool_refuses(real_samples: Database, use: str) -> None:
    async def misuse() -> None:
        async with real_samples.read_only_session() as session:
            await REFUSED[use](session)

    with pytest.raises(InvalidRequestError, match=r"read-only.*database\.session\(\)"):
        await misuse()
    assert await names(real_samples) == ["kept"]
    assert real_samples.pool_status().in_use == 0


async def test_read_only_session_can_read_with_text(real_samples: Database) -> None:
    async with real_samples.read_only_session() as session:
        assert await session.scalar(text("SELECT 1 + 1")) == 2


@pytest.mark.usefixtures("real_samples")
def test_websocket_routes_can_use_sessions(settings: Settings) -> None:
    app = create_app(settings)

    @app.websocket("/session")
    async def write(websocket: WebSocket, session: SessionDep) -> None:
        await websocket.accept()
        async for name in websocket.iter_text():
            session.add(HTTPSample(name=name))
            await session.flush()
            await websocket.send_text(name)

    @app.websocket("/database")
    async def read(websocket: WebSocket, database: DatabaseDep) -> None:
        await websocket.accept()
        await websocket.send_json(sorted(await names(database)))
        await websocket.close()

    with TestClient(app) as client:
        with client.websocket_connect("/session") as websocket:
            websocket.send_text("added")
            assert websocket.receive_text() == "added"
        with client.websocket_connect("/database") as websocket:
            assert websocket.receive_json() == ["added", "kept"]
        assert app.state.database.pool_status().in_use == 0


async def test_requests_of_the_client_can_be_gathered(
    app: FastAPI, client: AsyncClient, connection: AsyncConnection
) -> None:
    await create_sample_table(connection)

    @app.post("/samples")
    async def create(session: SessionDep, name: str) -> None:
        session.add(HTTPSample(name=name))

    responses = await asyncio.gather(*(client.post("/samples", params={"name": name}) for name in "abcda"))
    assert sorted(response.status_code for response in responses) == [200, 200, 200, 200, 409]
    assert sorted(await names(app.state.database)) == ["a", "b", "c", "d"]


async def test_log_lines_have_the_id_of_their_request(
    app: FastAPI, client: AsyncClient, log_lines: list[EventDict]
) -> None:
    @app.get("/logged")
    async def log() -> None:
        get_logger("orders").info("order_read", order=7)

    await client.get("/logged", headers={"X-Request-ID": "first"})
    get_logger("orders").info("nothing_requested")
    found = [(line["event"], line.get("order"), line.get("request_id")) for line in log_lines]
    assert found == [("order_read", 7, "first"), ("request", None, "first"), ("nothing_requested", None, None)]
