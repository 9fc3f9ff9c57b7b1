"""Headers that tell browsers to be careful with what they get."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .base import HTTPMiddleware

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""TLS ends in front of the service, and so Strict-Transport-Security belongs there."""


class SecurityHeadersMiddleware(HTTPMiddleware):
    """Adds them where the application set none of its own.

    Args:
        pages: paths that load scripts and styles, which the policy would forbid.
    """

    def __init__(self, app: ASGIApp, pages: tuple[str | None, ...] = ()) -> None:
        super().__init__(app)
        self._pages = pages

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    if name != "Content-Security-Policy" or scope["path"] not in self._pages:
                        headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_headers)
