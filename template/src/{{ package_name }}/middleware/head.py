"""HEAD requests."""

from collections.abc import Awaitable

from starlette.types import Message, Receive, Scope, Send

from .base import HTTPMiddleware


class HeadMiddleware(HTTPMiddleware):
    """Answers HEAD like GET, without the body."""

    def handle(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return (self._answer if scope["method"] == "HEAD" else self.app)(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        get = {**scope, "method": "GET"}
        try:
            await self.app(get, receive, send_without_body)
        finally:
            scope.update(get, method="HEAD")  # for the access log
