"""What every request passes through."""

import pytest
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
    assert [(line["method"], line["path"], line["status"], line["log_level"]) for line in lines] == [
        ("GET", "/nowhere", 404, "info"),
        ("GET", "/health", 200, "debug"),
    ]
