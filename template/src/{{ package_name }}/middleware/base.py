"""Base class of the middleware for HTTP requests."""

from collections.abc import Awaitable

from starlette.types import ASGIApp, Receive, Scope, Send


class HTTPMiddleware:
    """Handles HTTP requests; WebSocket and lifespan messages pass unchanged."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return (self.handle if scope["type"] == "http" else self.app)(scope, receive, send)

    def handle(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Call the application below, or answer the request."""
        raise NotImplementedError
