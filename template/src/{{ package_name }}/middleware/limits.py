"""Limits: size and time of a request body, time until a response begins, and number of concurrent requests."""

import asyncio

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..health import is_health_path
from ..problems import problem_response
from .base import HTTPMiddleware


class BodyLimitMiddleware(HTTPMiddleware):
    """Answers 413 if the body is larger than `max_size` bytes, and 408 if it does not arrive in `timeout` seconds.

    It checks `Content-Length` and the body itself. A route can set another timeout: `request.state.body_timeout`.
    """

    def __init__(self, app: ASGIApp, max_size: int, timeout: float) -> None:
        super().__init__(app)
        self._max_size = max_size
        self._timeout = timeout
        self._too_large = f"The request body is larger than {max_size} bytes."

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        declared = Headers(scope=scope).get("Content-Length", "")
        if declared.isdecimal() and int(declared) > self._max_size:
            await problem_response(Request(scope), 413, self._too_large)(scope, receive, send)
        else:
            await self.app(scope, self._limited(scope, receive), send)

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        loop, waited, size, complete = asyncio.get_running_loop(), 0.0, 0, False

        async def receive_limited() -> Message:
            nonlocal waited, size, complete
            if complete:
                return await receive()  # waits for the end of the connection
            timeout, started = scope["state"].get("body_timeout", self._timeout), loop.time()
            try:
                async with asyncio.timeout(timeout - waited):
                    message = await receive()
            except TimeoutError:
                detail = f"The request body did not arrive within {timeout:g} s."
                raise HTTPException(408, detail, {"Connection": "close"}) from None
            waited += loop.time() - started  # only here, because the service may be slow between two pieces
            complete = not message.get("more_body", False)
            size += len(message.get("body", b""))
            if size > self._max_size:
                raise HTTPException(413, self._too_large)
            return message

        return receive_limited


class OverloadMiddleware(HTTPMiddleware):
    """Answers 503 beyond `max_requests` concurrent requests, and if a response does not begin in `timeout` seconds."""

    def __init__(self, app: ASGIApp, max_requests: int, timeout: float) -> None:
        super().__init__(app)
        self._max_requests = max_requests
        self._timeout = timeout
        self._active = 0

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        # An overloaded process is not dead, so health is exempt.
        if is_health_path(scope):
            await self.app(scope, receive, send)
            return
        if self._active >= self._max_requests:
            detail = f"Too many concurrent requests: the limit is {self._max_requests}. Try again later."
            await problem_response(Request(scope), 503, detail)(scope, receive, send)
            return

        async def send_in_time(message: Message) -> None:
            if message["type"] == "http.response.start":
                deadline.reschedule(None)
            await send(message)

        self._active += 1
        try:
            async with asyncio.timeout(self._timeout) as deadline:
                await self.app(scope, receive, send_in_time)
        except TimeoutError:
            if not deadline.expired():
                raise
            detail = f"The response did not begin within {self._timeout:g} s. Try again later."
            await problem_response(Request(scope), 503, detail)(scope, receive, send)
        except asyncio.CancelledError:
            if deadline.when() is None:
                raise  # too late for another response
            detail = "The service is stopping. Try again later."
            await problem_response(Request(scope), 503, detail)(scope, receive, send)
        finally:
            self._active -= 1
