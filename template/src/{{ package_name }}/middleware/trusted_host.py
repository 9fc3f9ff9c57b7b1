"""Allowed values of the header `Host`."""

from collections.abc import Awaitable, Sequence

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

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "lifespan" or is_health_path(scope) or self._is_allowed(scope):
            return self.app(scope, receive, send)
        detail = "The header Host is not allowed. Operators: see ALLOWED_HOSTS."
        return problem_response(HTTPConnection(scope), 400, detail)(scope, receive, send)

    def _is_allowed(self, scope: Scope) -> bool:
        if "*" in self._allowed:
            return True
        host = (URL(scope=scope).hostname or "").lower()
        return any(
            allowed == host or (allowed.startswith("*.") and host.endswith(allowed[1:])) for allowed in self._allowed
        )
