"""HEAD requests."""

from starlette.types import Message, Receive, Scope, Send

from .base import HTTPMiddleware


class HeadMiddleware(HTTPMiddleware):
    """Answers HEAD like GET, without the body."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        get = {**scope, "method": "GET"}
        try:
            await self.app(get, receive, send_without_body)
        finally:
            scope.update(get, method="HEAD")  # for the access log
