"""The application, built from its settings: nothing is made at import."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from . import __version__, telemetry
from .api import health, routers
from .api.problems import install_problem_handlers, problem_responses
from .config import Settings, get_settings
from .database import Database
from .health import PREFIX, Health
from .logs import configure_logging, get_logger
from .middleware import (
    AccessLogMiddleware,
    BodyLimitMiddleware,
    OverloadMiddleware,
    RequestContextMiddleware,
    SecurityHeadersMiddleware,
    StartupErrorMiddleware,
    UnexpectedErrorMiddleware,
)
from .migrations import read_revisions
from .utils.cache import TTLCache

logger = get_logger(__name__)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the application.

    Args:
        settings: those of the environment where none are given.

    Raises:
        ConfigurationError: the environment does not make valid settings.
    """
    settings = settings or get_settings()
    configure_logging(settings)
    app = FastAPI(
        title=settings.project_name,
        version=__version__,
        debug=settings.debug,
        lifespan=lifespan,
        docs_url="/docs" if settings.docs_enabled else None,
        redoc_url=None,
        openapi_url="/openapi.json" if settings.docs_enabled else None,
        responses=problem_responses(400, 413, 422, 503),
        telemetry=telemetry.configuration(settings, exclude=PREFIX),
        # From the outside in.
        middleware=[
            Middleware(StartupErrorMiddleware),
            Middleware(RequestContextMiddleware),
            Middleware(AccessLogMiddleware),
            Middleware(SecurityHeadersMiddleware, pages=("/docs", "/docs/oauth2-redirect")),
            Middleware(TrustedHostMiddleware, allowed_hosts=settings.allowed_hosts, www_redirect=False),
            Middleware(CORSMiddleware, allow_origins=settings.cors_origins, allow_methods=["*"], allow_headers=["*"]),
            Middleware(
                OverloadMiddleware, max_requests=settings.max_concurrent_requests, timeout=settings.request_timeout
            ),
            Middleware(BodyLimitMiddleware, max_size=settings.max_body_size),
            Middleware(UnexpectedErrorMiddleware),
        ],
    )
    app.state.settings = settings
    install_problem_handlers(app)
    app.include_router(health.router)
    for router in routers:
        app.include_router(router, prefix=settings.api_prefix)
    return app


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    database = Database(settings)
    try:
        await database.connect()
        app.state.database = database
        app.state.health = Health(database, read_revisions())
        app.state.cache = TTLCache(ttl=settings.cache_ttl)
        with telemetry.observing(database, app.state.health, settings):
            logger.info("started", environment=settings.environment, version=__version__)
            yield
    finally:
        await database.dispose()
    logger.info("stopped")
