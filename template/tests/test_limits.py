"""Request limits."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI, Request
from httpx2 import ASGITransport, AsyncClient


@pytest.fixture
def settings(settings: Any) -> Any:
    return settings.model_copy(update={"max_body_size": 1000, "max_concurrent_requests": 2, "request_timeout": 2})


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[AsyncClient]:
    """A client for concurrent requests, which use no database."""
    async with AsyncClient(transport=ASGITransport(app), base_url="http://test") as client:
        yield client


async def test_requests_beyond_the_limit_return_503(app: FastAPI, client: AsyncClient) -> None:
    released = asyncio.Event()

    @app.get("/wait")
    async def wait() -> None:
        await released.wait()

    responses = asyncio.as_completed([client.get("/wait") for _ in range(3)])
    refused = await next(responses)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert "the limit is 2" in refused.json()["detail"]
    assert (await client.get("/health")).status_code == 200
    released.set()
    assert [(await response).status_code for response in responses] == [200, 200]
    assert (await client.get("/wait")).status_code == 200


async def test_request_beyond_the_time_limit_returns_503(app: FastAPI, client: AsyncClient) -> None:
    @app.get("/wait")
    async def wait() -> None:
        await asyncio.Event().wait()

    assert (await client.get("/wait")).status_code == 503


async def chunks() -> AsyncIterator[bytes]:
    for _ in range(3):
        yield b"x" * 500


@pytest.mark.parametrize("content", [b"x" * 1001, chunks()], ids=["declared length", "chunks"])
async def test_body_beyond_the_limit_returns_413(app: FastAPI, client: AsyncClient, content: Any) -> None:
    @app.post("/size")
    async def size(request: Request) -> int:
        return len(await request.body())

    assert (await client.post("/size", content=b"x" * 1000)).json() == 1000
    response = await client.post("/size", content=content)
    assert response.status_code == 413
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["X-Request-ID"]


async def endless() -> AsyncIterator[bytes]:
    yield b"x"
    await asyncio.Event().wait()


async def test_body_beyond_the_time_limit_returns_408(app: FastAPI, client: AsyncClient) -> None:
    @app.post("/size")
    async def size(request: Request, seconds: float) -> int:
        request.state.body_timeout = seconds
        return len(await request.body())

    response = await client.post("/size", params={"seconds": 0.01}, content=endless())
    assert (response.status_code, response.headers["Connection"]) == (408, "close")
    assert response.json()["detail"] == "The request body did not arrive within 0.01 s."
