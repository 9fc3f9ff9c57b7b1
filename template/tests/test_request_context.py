"""Request IDs and the access log."""

import pytest
from httpx2 import AsyncClient
from structlog.testing import capture_logs


@pytest.mark.parametrize("sent", ["", "two words", "x" * 129, "new\tline"])
async def test_invalid_request_id_is_replaced(client: AsyncClient, sent: str) -> None:
    returned = (await client.get("/health", headers={"X-Request-ID": sent})).headers["X-Request-ID"]
    assert returned != sent
    assert len(returned) == 32


async def test_access_log_has_one_line_for_each_request(client: AsyncClient) -> None:
    with capture_logs() as lines:
        await client.get("/nowhere", headers={"X-Request-ID": "one"})
        await client.get("/health")
    assert [(line["method"], line["path"], line["route"], line["status"], line["log_level"]) for line in lines] == [
        ("GET", "/nowhere", None, 404, "info"),
        ("GET", "/health", "/health", 200, "debug"),
    ]
