"""Tests of requests: access log, timeouts, errors, documentation and health checks."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import StreamingResponse
from httpx2 import ASGITransport, AsyncClient
from sqlalchemy import event
from starlette.types import Message
from structlog.testing import capture_logs
from structlog.typing import EventDict

from my_service.api.dependencies import ContextDep, SettingsDep
from my_service.main import create_app


@pytest.fixture
def settings(settings: Any) -> Any:
    return settings.model_copy(update={"request_timeout": 0.5, "docs_enabled": False})


@pytest.mark.parametrize("root_path", ["", "/shop"])
async def test_access_log_has_the_path_template_of_the_route(app: FastAPI, client: AsyncClient, root_path: str) -> None:
    router = APIRouter(prefix="/orders")

    @router.get("/{order_id}")
    async def read_order(order_id: int) -> int:
        return order_id

    app.include_router(router, prefix="/sales")
    client._transport.root_path = root_path  # type: ignore[attr-defined]
    with capture_logs() as lines:
        assert (await client.get(f"{root_path}/sales/orders/5")).status_code == 200
    assert (lines[0]["path"], lines[0]["route"]) == (f"{root_path}/sales/orders/5", "/sales/orders/{order_id}")


async def test_timeout_returns_503_with_an_explanation(app: FastAPI, client: AsyncClient) -> None:
    @app.get("/wait")
    async def wait() -> None:
        await asyncio.Event().wait()

    response = await client.get("/wait")
    assert response.status_code == 503
    assert response.json()["detail"].startswith("The response did not begin within")


async def test_error_after_the_response_began_closes_the_connection(app: FastAPI, client: AsyncClient) -> None:
    async def half() -> AsyncIterator[bytes]:
        yield b"half"
        raise RuntimeError

    @app.get("/half")
    async def stream() -> StreamingResponse:
        return StreamingResponse(half())

    with capture_logs() as lines, pytest.raises(RuntimeError):
        await client.get("/half")
    assert "unexpected_error" in [line["event"] for line in lines]


async def test_client_that_disconnects_during_an_upload_is_no_error(app: FastAPI) -> None:
    @app.post("/upload")
    async def upload(request: Request) -> int:
        return sum([len(chunk) async for chunk in request.stream()])

    received: list[Message] = [{"type": "http.request", "body": b"part", "more_body": True}]
    sent: list[Message] = []

    async def receive() -> Message:
        return received.pop() if received else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/upload",
        "headers": [(b"host", b"test")],
        "query_string": b"",
        "server": None,
    }
    with capture_logs() as lines:
        await app(scope, receive, send)
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("client_disconnected", "info"),
        ("request", "info"),
    ]
    assert lines[-1]["status"] == sent[0]["status"] == 400


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/redoc"])
async def test_documentation_can_be_disabled(client: AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 404


async def test_wrong_method_returns_405_with_allow_header(app: FastAPI, client: AsyncClient) -> None:
    @app.get("/things/{name}")
    async def read(name: str) -> str:
        return name

    @app.put("/things/{name}")
    async def replace(name: str) -> str:
        return name

    response = await client.delete("/things/a")
    assert (response.status_code, response.headers["Allow"]) == (405, "GET, HEAD, PUT")


async def test_dependencies_return_settings_and_client(app: FastAPI, client: AsyncClient) -> None:
    @app.get("/context")
    async def context(context: ContextDep, settings: SettingsDep) -> list[str | None]:
        return [context.client, settings.environment]

    assert (await client.get("/context")).json() == ["127.0.0.1", "test"]


@pytest.mark.parametrize("path", ["/healthXYZ", "/healthz"])
async def test_paths_that_only_start_with_health_are_not_health_checks(client: AsyncClient, path: str) -> None:
    with capture_logs() as lines:
        assert (await client.get(path)).status_code == 404
    assert [line["log_level"] for line in lines] == ["info"]


async def test_health_check_behind_a_prefix_is_a_health_check(settings: Any) -> None:
    app = create_app(settings.model_copy(update={"allowed_hosts": ["api.example.com"]}))
    transport = ASGITransport(app, root_path="/shop")  # the server puts this before each path
    with capture_logs() as lines:
        async with app.router.lifespan_context(app), AsyncClient(transport=transport, base_url="http://test") as client:
            assert (await client.get("/shop/health/ready")).status_code == 200
            assert (await client.get("/shop/nowhere")).status_code == 400
    assert [line["log_level"] for line in lines if line["event"] == "request"] == ["debug", "info"]


async def test_readiness_sends_one_query(app: FastAPI, client: AsyncClient) -> None:
    statements: list[str] = []
    engine = app.state.database.probe_engine.sync_engine
    event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    assert (await client.get("/health/ready")).status_code == 200
    assert len(statements) == len(set(statements))


@pytest.mark.parametrize(
    ("applied", "compatible"), [({"second"}, True), ({"third"}, True), ({"first"}, False), (set(), False)]
)
def test_database_of_a_newer_release_is_compatible(app: FastAPI, applied: set[str], compatible: bool) -> None:
    """A new release migrates the database while processes of the previous release still serve."""
    revisions = replace(app.state.health._revisions, latest=frozenset({"second"}), known=frozenset({"first", "second"}))
    assert revisions.is_compatible(frozenset(applied)) is compatible


@pytest.mark.parametrize(
    ("method", "path", "detail"),
    [
        ("GET", "/nowhere", "This path does not exist."),
        ("DELETE", "/health", "This path does not support DELETE. It supports GET, HEAD."),
    ],
)
async def test_errors_of_the_router_name_the_rule(client: AsyncClient, method: str, path: str, detail: str) -> None:
    assert (await client.request(method, path)).json()["detail"] == detail


async def test_too_large_body_names_the_limit(client: AsyncClient, settings: Any) -> None:
    response = await client.post("/nowhere", content=b"x" * (settings.max_body_size + 1))
    assert response.status_code == 413
    assert response.json()["detail"] == f"The request body is larger than {settings.max_body_size} bytes."


@pytest.mark.parametrize("path", ["/health", "/health/db", "/health/ready", "/nowhere", "/list", "/failing", "/post"])
async def test_head_has_the_status_and_headers_of_get(app: FastAPI, client: AsyncClient, path: str) -> None:
    @app.get("/list")
    async def read() -> list[str]:
        return ["ä" * 100]

    @app.get("/failing")
    async def fail() -> None:
        raise RuntimeError

    @app.post("/post")
    async def create() -> None: ...

    quoted = {"X-Request-ID": "quoted"}
    get, head = await client.get(path, headers=quoted), await client.head(path, headers=quoted)
    assert (head.status_code, head.content, head.headers) == (get.status_code, b"", get.headers)
    assert head.headers["Content-Length"] == str(len(get.content))


async def test_head_gives_the_server_no_body(app: FastAPI) -> None:
    """The client and uvicorn would drop a body."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    path: dict[str, Any] = {"path": "/health", "raw_path": b"/health", "root_path": "", "query_string": b""}
    host: dict[str, Any] = {"headers": [(b"host", b"test")], "scheme": "http", "server": ("test", 80), "client": None}
    await app({"type": "http", "method": "HEAD", "http_version": "1.1", **path, **host}, receive, send)
    assert [(message["type"], message.get("body")) for message in sent] == [
        ("http.response.start", None),
        ("http.response.body", b""),
    ]


async def test_access_log_of_head_has_its_method_and_route(
    app: FastAPI, client: AsyncClient, log_lines: list[EventDict]
) -> None:
    @app.get("/orders/{order_id}")
    async def read(order_id: int) -> int:
        return order_id

    await client.head("/orders/7")
    assert [(line["method"], line["route"], line["status"]) for line in log_lines] == [
        ("HEAD", "/orders/{order_id}", 200)
    ]
