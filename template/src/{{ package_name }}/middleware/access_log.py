"""One line a request."""

from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..logs import get_logger

logger = get_logger("access")

QUIET_PREFIX = "/health"
"""Asked every few seconds by orchestrators: logged only when it fails, or at level DEBUG."""


class AccessLogMiddleware:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

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
            quiet = path.startswith(QUIET_PREFIX) and status < 400
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
