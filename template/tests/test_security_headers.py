"""Security headers and allowed host names."""

from typing import Any

import pytest
from httpx2 import AsyncClient


@pytest.fixture
def settings(settings: Any) -> Any:
    changes = {"allowed_hosts": ["test"], "cors_origins": ["https://a.example"], "docs_enabled": True}
    return settings.model_copy(update=changes)


async def test_responses_have_security_headers(client: AsyncClient) -> None:
    response = await client.get("/health")
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")


async def test_docs_page_loads_scripts_and_says_from_where(client: AsyncClient) -> None:
    page = await client.get("/docs")
    assert "default-src" not in page.headers["Content-Security-Policy"]
    assert '<div id="swagger-ui">This page loads Swagger UI from cdn.jsdelivr.net.' in page.text


async def test_page_of_an_allowed_origin_can_read_the_headers(client: AsyncClient) -> None:
    response = await client.get("/health", headers={"Origin": "https://a.example"})
    assert response.headers["Access-Control-Allow-Origin"] == "https://a.example"
    exposed = set(response.headers["Access-Control-Expose-Headers"].split(", "))
    assert exposed == {"ETag", "Link", "Location", "Retry-After", "X-Request-ID"}


async def test_unknown_host_returns_400(client: AsyncClient) -> None:
    response = await client.get("/nowhere", headers={"Host": "elsewhere"})
    assert response.status_code == 400
    assert response.headers["Content-Type"] == "application/problem+json"
    assert (await client.get("/health/ready", headers={"Host": "elsewhere"})).status_code == 200
