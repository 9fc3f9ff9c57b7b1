"""What the settings forbid."""

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient


@pytest.fixture
def settings(settings: Any) -> Any:
    """Those of an application that takes two requests at once, each for a moment."""
    limits = {"max_concurrent_requests": 2, "request_timeout": 0.3, "allowed_hosts": ["test"], "docs_enabled": False}
    return settings.model_copy(update=limits)


@pytest.fixture(autouse=True)
def routes(app: FastAPI) -> None:
    @app.get("/wait")
    async def wait(seconds: float) -> float:
        await asyncio.sleep(seconds)
        return seconds


async def test_more_requests_than_can_be_worked_on_are_refused_at_once(client: AsyncClient) -> None:
    waiting = [asyncio.create_task(client.get("/wait", params={"seconds": 0.2})) for _ in range(2)]
    await asyncio.sleep(0.05)
    refused = await client.get("/wait", params={"seconds": 0})
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert (await client.get("/health")).status_code == 200
    assert [response.status_code for response in await asyncio.gather(*waiting)] == [200, 200]
    assert (await client.get("/wait", params={"seconds": 0})).status_code == 200


async def test_a_request_that_takes_too_long_is_answered(client: AsyncClient) -> None:
    response = await client.get("/wait", params={"seconds": 5})
    assert response.status_code == 503
    assert response.json()["detail"] == "This took too long."


async def test_the_service_goes_by_its_own_names_alone(client: AsyncClient) -> None:
    assert (await client.get("/health")).status_code == 200
    assert (await client.get("/health", headers={"Host": "elsewhere"})).status_code == 400


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/redoc"])
async def test_documentation_can_be_switched_off(client: AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 404
