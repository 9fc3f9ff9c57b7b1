"""What every request passes through, as plain ASGI: nothing here buffers a body or starts a task."""

from .access_log import AccessLogMiddleware
from .request_context import RequestContext, RequestContextMiddleware
from .startup_error import StartupErrorMiddleware
from .unexpected_error import UnexpectedErrorMiddleware

__all__ = [
    "AccessLogMiddleware",
    "RequestContext",
    "RequestContextMiddleware",
    "StartupErrorMiddleware",
    "UnexpectedErrorMiddleware",
]
