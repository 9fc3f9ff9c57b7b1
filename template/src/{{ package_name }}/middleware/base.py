"""What the middleware for requests has in common."""

from collections.abc import Awaitable

from starlette.types import ASGIApp, Receive, Scope, Send


class HTTPMiddleware:
    """Handles the requests; all else that a server may say passes by."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return (self.handle if scope["type"] == "http" else self.app)(scope, receive, send)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, by the application below or instead of it."""
        raise NotImplementedError
