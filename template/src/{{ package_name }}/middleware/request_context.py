"""Gives every request an id and a context, and writes its line of the access log."""

import re
from secrets import token_hex
from time import perf_counter

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Message, Receive, Scope, Send

from ..context import RequestContext
from ..health import is_health_path
from ..logs import get_logger
from .base import HTTPMiddleware

logger = get_logger("access")

HEADER = "X-Request-ID"
# The id of a client ends up in logs and headers.
VALID_ID = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)


class RequestContextMiddleware(HTTPMiddleware):
    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        request_id = Headers(scope=scope).get(HEADER, "")
        if not VALID_ID.fullmatch(request_id):
            request_id = token_hex(16)
        client = scope["client"][0] if scope.get("client") else None
        context = RequestContext(request_id=request_id, method=scope["method"], path=scope["path"], client=client)
        scope.setdefault("state", {})["context"] = context
        status = 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[HEADER] = request_id
                if (health := getattr(scope["app"].state, "health", None)) and health.draining:
                    headers["Connection"] = "close"  # so that the next request goes to another process
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self.app(scope, receive, send_with_id)
            finally:
                # Probes ask every few seconds; only failures are worth a line.
                log = logger.debug if is_health_path(scope) and status < 400 else logger.info
                log(
                    "request",
                    method=context.method,
                    path=context.path,
                    route=_route_template(scope),
                    status=status,
                    duration_ms=round((perf_counter() - started) * 1000, 2),
                    client=client,
                )


def _route_template(scope: Scope) -> str | None:
    """Return the path as declared, such as `/orders/{order_id}`: there are few of them."""
    # FastAPI's own context of the route knows the prefixes of the routers that include it.
    route = scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")
    return getattr(route, "path_format", None)
