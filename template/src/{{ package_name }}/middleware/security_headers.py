"""Security headers for browsers."""

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Receive, Scope, Send

from .base import HTTPMiddleware

# Strict-Transport-Security belongs to the proxy that terminates TLS.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


class SecurityHeadersMiddleware(HTTPMiddleware):
    """Adds the headers that the application has not set."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_headers)
