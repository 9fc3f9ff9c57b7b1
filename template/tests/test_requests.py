"""What every request passes through."""

from collections.abc import AsyncIterator

import pytest
from fastapi import APIRouter, FastAPI, Request
from httpx2 import AsyncClient
from structlog.testing import capture_logs


@pytest.mark.parametrize("sent", ["", "two words", "x" * 129, "new\tline"])
async def test_a_request_id_that_could_spoil_logs_is_replaced(client: AsyncClient, sent: str) -> None:
    returned = (await client.get("/health", headers={"X-Request-ID": sent})).headers["X-Request-ID"]
    assert returned != sent
    assert len(returned) == 32


async def test_a_request_is_one_line(client: AsyncClient) -> None:
    with capture_logs() as lines:
        await client.get("/nowhere", headers={"X-Request-ID": "one"})
        await client.get("/health")
    assert [(line["method"], line["path"], line["route"], line["status"], line["log_level"]) for line in lines] == [
        ("GET", "/nowhere", None, 404, "info"),
        ("GET", "/health", "/health", 200, "debug"),
    ]


async def test_the_line_of_a_request_has_the_template_of_its_route(app: FastAPI, client: AsyncClient) -> None:
    router = APIRouter(prefix="/things")
    router.add_api_route("/{thing_id}", read_thing)
    app.include_router(router, prefix="/api/v9")
    with capture_logs() as lines:
        await client.get("/api/v9/things/5")
    assert lines[0]["route"] == "/api/v9/things/{thing_id}"


async def read_thing(thing_id: int) -> int:
    return thing_id


async def test_browsers_are_told_to_be_careful(client: AsyncClient) -> None:
    response = await client.get("/health")
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "Content-Security-Policy" not in (await client.get("/docs")).headers


def chunks(size: int) -> AsyncIterator[bytes]:
    async def generate() -> AsyncIterator[bytes]:
        for _ in range(size // 1000):
            yield b"x" * 1000

    return generate()


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_that_is_too_large_is_not_read(app: FastAPI, client: AsyncClient, declared: bool) -> None:
    @app.post("/size")
    async def size(request: Request) -> int:
        return len(await request.body())

    limit = app.state.settings.max_body_size
    assert (await client.post("/size", content=b"x" * limit)).json() == limit
    response = await client.post("/size", content=b"x" * (limit + 1) if declared else chunks(limit + 2000))
    assert response.status_code == 413
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["X-Request-ID"]
