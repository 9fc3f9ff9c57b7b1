"""Errors that no exception handler answers."""

import asyncio
import sys
from collections.abc import Awaitable

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import OperatorError
from ..logs import get_logger
from ..problems import problem_response
from .base import HTTPMiddleware

logger = get_logger(__name__)


class UnexpectedErrorMiddleware(HTTPMiddleware):
    """Logs unexpected errors with their traceback, and answers 500 without detail."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        response_started = False

        async def send_and_note(message: Message) -> None:
            nonlocal response_started
            response_started = response_started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        except ClientDisconnect:
            logger.info("client_disconnected")
            if not response_started:
                # Only the access log gets this response.
                await problem_response(Request(scope), 400)(scope, receive, send)
        except Exception:
            logger.exception("unexpected_error")
            if response_started:
                raise  # too late for another response: the server closes the connection
            await problem_response(Request(scope), 500)(scope, receive, send)


class StartupErrorMiddleware:
    """Gives the server the message of an `OperatorError` instead of its traceback, and nothing after a signal."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        async def send_message(message: Message) -> None:
            error = sys.exc_info()[1]
            if "message" in message and isinstance(error, (OperatorError, asyncio.CancelledError)):
                message["message"] = str(error)
            await send(message)

        return self.app(scope, receive, send_message if scope["type"] == "lifespan" else send)
