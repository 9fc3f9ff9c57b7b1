"""Allowed values of the header `Host`."""

from collections.abc import Sequence

from starlette.datastructures import URL
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from ..health import is_health_path
from ..problems import problem_response


class TrustedHostMiddleware:
    """Answers 400 if the host is not allowed. Health is exempt, because probes send the address of the process."""

    def __init__(self, app: ASGIApp, allowed_hosts: Sequence[str]) -> None:
        self.app = app
        self._allowed = [host.lower() for host in allowed_hosts]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or is_health_path(scope) or self._is_allowed(scope):
            await self.app(scope, receive, send)
            return
        detail = "The header Host is not allowed. Operators: see ALLOWED_HOSTS."
        await problem_response(HTTPConnection(scope), 400, detail)(scope, receive, send)

    def _is_allowed(self, scope: Scope) -> bool:
        host = (URL(scope=scope).hostname or "").lower()
        return any(
            allowed in ("*", host) or (allowed.startswith("*.") and host.endswith(allowed[1:]))
            for allowed in self._allowed
        )
