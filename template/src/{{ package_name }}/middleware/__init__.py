"""What every request passes through, as plain ASGI: nothing here buffers a body or starts a task."""

from .access_log import AccessLogMiddleware
from .limits import BodyLimitMiddleware, OverloadMiddleware
from .request_context import RequestContext, RequestContextMiddleware
from .security_headers import SecurityHeadersMiddleware
from .startup_error import StartupErrorMiddleware
from .unexpected_error import UnexpectedErrorMiddleware

__all__ = [
    "AccessLogMiddleware",
    "BodyLimitMiddleware",
    "OverloadMiddleware",
    "RequestContext",
    "RequestContextMiddleware",
    "SecurityHeadersMiddleware",
    "StartupErrorMiddleware",
    "UnexpectedErrorMiddleware",
]
