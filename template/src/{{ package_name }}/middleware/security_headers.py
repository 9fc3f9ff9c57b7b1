"""Security headers for browsers."""

from starlette.types import Message, Receive, Scope, Send

from .base import HTTPMiddleware

# Strict-Transport-Security belongs to the proxy that terminates TLS.
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


class SecurityHeadersMiddleware(HTTPMiddleware):
    """Adds the headers that the application has not set."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(new for new in HEADERS if new[0] not in present)]
            await send(message)

        await self.app(scope, receive, send_with_headers)
