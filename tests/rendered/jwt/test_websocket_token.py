"""Tests of authentication in WebSocket routes."""

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from fastapi.websockets import WebSocket
from real_pool import delete_rows
from starlette.testclient import WebSocketDenialResponse
from support.users import sign_in

from my_service import main
from my_service.api.current_user import CurrentUserDep
from my_service.api.routes import authenticated
from my_service.config import Settings


@pytest.fixture
def app(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    """The application with WebSocket routes next to the other routes that require authentication."""
    router = APIRouter(dependencies=authenticated.dependencies)

    @router.websocket("/greeting")
    async def greet(websocket: WebSocket, user: CurrentUserDep) -> None:
        await websocket.accept()
        await websocket.send_text(user.email)
        await websocket.close()

    @router.websocket("/time")
    async def tell_time(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    monkeypatch.setattr(main, "routers", [router])
    return main.create_app(settings)


@pytest.mark.parametrize("path", ["/greeting", "/time"])
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer abc"}, {"Authorization": "Basic YTpi"}])
def test_websocket_without_valid_token_is_denied(app: FastAPI, path: str, headers: dict[str, str]) -> None:
    with (
        TestClient(app) as client,
        pytest.raises(WebSocketDenialResponse) as denied,
        client.websocket_connect(app.state.settings.api_prefix + path, headers=headers),
    ):
        pytest.fail("The WebSocket was accepted.")
    assert denied.value.headers["Content-Type"] == "application/problem+json"
    assert denied.value.json()["status"] == denied.value.status_code == 401


def test_websocket_with_token_is_accepted(app: FastAPI) -> None:
    with TestClient(app) as client:
        assert client.portal
        headers = client.portal.call(sign_in, app)
        with client.websocket_connect(f"{app.state.settings.api_prefix}/greeting", headers=headers) as websocket:
            assert websocket.receive_text().endswith("@example.com")
        assert app.state.database.pool_status().in_use == 0
        client.portal.call(delete_rows, app.state.database)
