"""Middleware, as plain ASGI: none of it buffers a body or starts a task."""

from .errors import StartupErrorMiddleware, UnexpectedErrorMiddleware
from .head import HeadMiddleware
from .limits import BodyLimitMiddleware, OverloadMiddleware
from .request_context import RequestContextMiddleware
from .security_headers import SecurityHeadersMiddleware
from .trusted_host import TrustedHostMiddleware

__all__ = [
    "BodyLimitMiddleware",
    "HeadMiddleware",
    "OverloadMiddleware",
    "RequestContextMiddleware",
    "SecurityHeadersMiddleware",
    "StartupErrorMiddleware",
    "TrustedHostMiddleware",
    "UnexpectedErrorMiddleware",
]
