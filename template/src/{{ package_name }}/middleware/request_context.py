"""Gives every request an id: in the context, in every log line, and in the response."""

import re
from dataclasses import dataclass
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Message, Receive, Scope, Send

from .base import HTTPMiddleware

HEADER = "X-Request-ID"
# What a client sends ends up in logs and headers.
ACCEPTABLE = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)


@dataclass(frozen=True, slots=True)
class RequestContext:
    request_id: str
    method: str
    path: str
    client: str | None


class RequestContextMiddleware(HTTPMiddleware):
    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = Headers(scope=scope).get(HEADER, "")
        if not ACCEPTABLE.fullmatch(request_id):
            request_id = uuid4().hex
        scope.setdefault("state", {})["context"] = RequestContext(
            request_id=request_id,
            method=scope["method"],
            path=scope["path"],
            client=scope["client"][0] if scope.get("client") else None,
        )

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self.app(scope, receive, send_with_id)
