"""One line a request."""

from time import perf_counter

from starlette.types import Message, Receive, Scope, Send

from ..health import PREFIX
from ..logs import get_logger
from .base import HTTPMiddleware

logger = get_logger("access")


class AccessLogMiddleware(HTTPMiddleware):
    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        status = 500

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        finally:
            path = scope["path"]
            # The orchestrator's questions, unless the answer is worth a line.
            quiet = path.startswith(PREFIX) and status < 400
            (logger.debug if quiet else logger.info)(
                "request",
                method=scope["method"],
                path=path,
                route=_route_template(scope),
                status=status,
                duration_ms=round((perf_counter() - started) * 1000, 2),
                client=scope["client"][0] if scope.get("client") else None,
            )


def _route_template(scope: Scope) -> str | None:
    """The path as it was declared, such as `/orders/{order_id}`, of which there are few."""
    declared: str | None = getattr(scope.get("route"), "path_format", None)
    if declared is None:
        return None
    # A route knows no prefix of the routers that include its own: that is what the path begins with.
    prefix = scope["path"].split("/")[: -declared.count("/")]
    return "/".join(prefix) + declared
