"""What no request may exceed: the size of its body, its time, and the number of those that are worked on at once."""

import asyncio

from starlette.datastructures import Headers
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..api.problems import problem_response
from ..health import PREFIX
from .base import HTTPMiddleware


class BodyLimitMiddleware(HTTPMiddleware):
    """Answers 413 to a body that is too large, by its declared length or as soon as it shows.

    Args:
        max_size: bytes.
    """

    def __init__(self, app: ASGIApp, max_size: int) -> None:
        super().__init__(RequestBodyLimitMiddleware(app, max_body_size=max_size))
        self._max_size = max_size

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        declared = Headers(scope=scope).get("Content-Length", "")
        if declared.isdecimal() and int(declared) > self._max_size:
            await problem_response(Request(scope), 413)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


class OverloadMiddleware(HTTPMiddleware):
    """Answers 503 at once rather than late: to more requests than can be worked on, and to one that takes too long.

    Args:
        max_requests: how many are worked on at once.
        timeout: seconds that one may take until its response begins.
    """

    def __init__(self, app: ASGIApp, max_requests: int, timeout: float) -> None:
        super().__init__(app)
        self._max_requests = max_requests
        self._timeout = timeout
        self._working = 0

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        # An overloaded process is not a dead one.
        if scope["path"].startswith(PREFIX):
            await self.app(scope, receive, send)
            return
        if self._working >= self._max_requests:
            await problem_response(Request(scope), 503, "Too many requests at once.")(scope, receive, send)
            return

        async def send_in_time(message: Message) -> None:
            if message["type"] == "http.response.start":
                deadline.reschedule(None)
            await send(message)

        self._working += 1
        try:
            async with asyncio.timeout(self._timeout) as deadline:
                await self.app(scope, receive, send_in_time)
        except TimeoutError:
            if not deadline.expired():
                raise
            await problem_response(Request(scope), 503, "This took too long.")(scope, receive, send)
        finally:
            self._working -= 1
