"""Answers what no handler expected: logged once with its traceback, told to the client without detail."""

from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from ..api.problems import problem_response
from ..logs import get_logger
from .base import HTTPMiddleware

logger = get_logger(__name__)


class UnexpectedErrorMiddleware(HTTPMiddleware):
    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        response_started = False

        async def send_and_note(message: Message) -> None:
            nonlocal response_started
            response_started = response_started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        except Exception:
            logger.exception("unexpected_error")
            if response_started:
                raise  # too late for another answer: the server must cut the connection
            await problem_response(Request(scope), 500)(scope, receive, send)
