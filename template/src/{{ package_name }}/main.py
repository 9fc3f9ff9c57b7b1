"""The application factory. Nothing is created at import."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from starlette.middleware import Middleware

from . import __version__, middleware, telemetry
from .api.routes import health, routers
from .config import Environment, Settings, find_misspelled_variables, get_settings
from .database import Database
from .health import Health
from .logs import configure_logging, get_logger
from .migrations import read_revisions
from .problems import problem_responses, register_problem_handlers
from .utils.cache import TTLCache

logger = get_logger(__name__)

DOCS_NOTE = """This page loads Swagger UI from cdn.jsdelivr.net. If this text stays, the browser cannot reach that host.
The description of the API is <a href="openapi.json">openapi.json</a>."""


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the application.

    Args:
        settings: the default is `get_settings()`.

    Raises:
        ConfigurationError: the environment variables are not valid settings.
    """
    settings = settings or get_settings()
    configure_logging(settings, telemetry.log_processors(), in_thread=settings.environment is not Environment.TEST)
    for variable, nearest in find_misspelled_variables():
        logger.warning("unknown_variable", variable=variable, did_you_mean=nearest)
    cors = Middleware(
        CORSMiddleware,
        allow_origins=settings.cors_origins,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=["ETag", "Link", "Location", "Retry-After", "X-Request-ID"],
    )
    app = FastAPI(
        title=settings.project_name,
        version=__version__,
        debug=settings.debug,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json" if settings.docs_enabled else None,
        responses=problem_responses(400, 408, 413, 422, 503),
        telemetry=telemetry.fastapi_config(settings),
        # From the outermost to the innermost.
        middleware=[
            Middleware(middleware.StartupErrorMiddleware),
            Middleware(middleware.RequestContextMiddleware),
            Middleware(middleware.SecurityHeadersMiddleware),
            Middleware(middleware.TrustedHostMiddleware, allowed_hosts=settings.allowed_hosts),
            *([cors] if settings.cors_origins else []),
            Middleware(
                middleware.OverloadMiddleware,
                max_requests=settings.max_concurrent_requests,
                timeout=settings.request_timeout,
            ),
            Middleware(middleware.BodyLimitMiddleware, max_size=settings.max_body_size, timeout=settings.body_timeout),
            Middleware(middleware.HeadMiddleware),
            Middleware(middleware.UnexpectedErrorMiddleware),
        ],
    )
    app.state.settings = settings
    register_problem_handlers(app)
    if settings.docs_enabled:
        app.add_route("/docs", show_docs, include_in_schema=False)
    app.include_router(health.router)
    for router in routers:
        app.include_router(router, prefix=settings.api_prefix)
    return app


async def show_docs(request: Request) -> HTMLResponse:
    """Return the page of Swagger UI, which replaces the note when its scripts are loaded."""
    page = bytes(get_swagger_ui_html(openapi_url="openapi.json", title=request.app.title).body).decode()
    page = page.replace('<div id="swagger-ui">', f'<div id="swagger-ui">{DOCS_NOTE}')
    # The default policy forbids scripts and styles.
    return HTMLResponse(page, headers={"Content-Security-Policy": "frame-ancestors 'none'"})


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    database = Database(settings)
    try:
        await database.connect()
        app.state.database = database
        app.state.health = health = Health(database, read_revisions(), settings.health_check_interval)
        await health.probe()
        app.state.cache = TTLCache(ttl=settings.cache_ttl, size=settings.cache_size)
        watching = asyncio.create_task(health.watch())
        try:
            async with telemetry.instrument(database, health, settings):
                logger.info("service_started", environment=settings.environment, version=__version__)
                yield
        finally:
            watching.cancel()
            await asyncio.wait({watching})
    finally:
        await database.dispose()
    logger.info("service_stopped")
