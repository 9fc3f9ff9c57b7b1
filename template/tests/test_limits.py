"""What the settings forbid."""

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient


@pytest.fixture
def settings(settings: Any) -> Any:
    """Those of an application that takes two requests at once, each for a moment."""
    limits = {"max_concurrent_requests": 2, "request_timeout": 2, "allowed_hosts": ["test"], "docs_enabled": False}
    return settings.model_copy(update=limits)


@pytest.fixture(autouse=True)
def go(app: FastAPI) -> asyncio.Event:
    """What requests for /wait wait for."""
    go = asyncio.Event()

    @app.get("/wait")
    async def wait() -> None:
        await go.wait()

    return go


async def test_more_requests_than_can_be_worked_on_are_refused_at_once(client: AsyncClient, go: asyncio.Event) -> None:
    answers = asyncio.as_completed([client.get("/wait") for _ in range(3)])
    refused = await next(answers)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert (await client.get("/health")).status_code == 200
    go.set()
    assert [(await answer).status_code for answer in answers] == [200, 200]
    assert (await client.get("/wait")).status_code == 200


async def test_a_request_that_takes_too_long_is_answered(client: AsyncClient) -> None:
    response = await client.get("/wait")
    assert response.status_code == 503
    assert response.json()["detail"] == "This took too long."


async def test_the_service_goes_by_its_own_names_alone(client: AsyncClient) -> None:
    assert (await client.get("/health")).status_code == 200
    assert (await client.get("/health", headers={"Host": "elsewhere"})).status_code == 400


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/redoc"])
async def test_documentation_can_be_switched_off(client: AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 404
