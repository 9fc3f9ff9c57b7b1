"""Security headers and allowed host names."""

from typing import Any

import pytest
from httpx2 import AsyncClient


@pytest.fixture
def settings(settings: Any) -> Any:
    return settings.model_copy(update={"allowed_hosts": ["test"], "docs_enabled": True})


async def test_responses_have_security_headers(client: AsyncClient) -> None:
    response = await client.get("/health")
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
    # The documentation pages load scripts, so they have no policy.
    assert "Content-Security-Policy" not in (await client.get("/docs")).headers


async def test_unknown_host_returns_400(client: AsyncClient) -> None:
    response = await client.get("/nowhere", headers={"Host": "elsewhere"})
    assert response.status_code == 400
    assert response.headers["Content-Type"] == "application/problem+json"
    assert (await client.get("/health/ready", headers={"Host": "elsewhere"})).status_code == 200
