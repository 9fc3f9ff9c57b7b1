"""OpenTelemetry: traces, metrics and logs, if the standard `OTEL_*` variables name a collector.

FastAPI traces and measures requests, and configures the exporters. This module adds spans for database statements,
metrics for pool and health, the export of log lines, and a port for Prometheus (`METRICS_PORT`). If none of
these variables is set, it imports no SDK.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from time import time_ns
from typing import Any
from uuid import uuid4

from fastapi.telemetry import TelemetryConfig
from opentelemetry import _logs, metrics, trace
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, get_value
from opentelemetry.metrics import CallbackOptions, Observation
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext
from starlette.types import Receive, Scope, Send
from structlog.typing import EventDict, Processor, WrappedLogger

from . import __version__
from .config import Settings
from .database import Database
from .errors import OperatorError
from .health import Health, is_health_path

SCOPE = __name__.partition(".")[0]
RESERVED = frozenset({"event", "level", "timestamp", "exc_info"})


def enabled() -> bool:
    """Return whether the environment names a collector, for all signals or for one. FastAPI has the same rule."""
    signals = ("", "TRACES_", "METRICS_", "LOGS_")
    return os.environ.get("OTEL_SDK_DISABLED", "").lower() != "true" and any(
        os.environ.get(f"OTEL_EXPORTER_OTLP_{signal}ENDPOINT") for signal in signals
    )


def fastapi_config(settings: Settings) -> TelemetryConfig:
    """Return the `telemetry` argument of the application. It excludes health checks."""
    if enabled() or settings.metrics_port:
        # The user's entries come last, so they override these. OTEL_SERVICE_NAME also overrides `service.name`.
        attributes = {
            "service.name": SCOPE.replace("_", "-"),
            "service.version": __version__,
            "service.instance.id": uuid4(),
            "deployment.environment.name": settings.environment,
        }
        given = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
        defaults = [f"{name}={value}" for name, value in attributes.items()]
        os.environ["OTEL_RESOURCE_ATTRIBUTES"] = ",".join([*defaults, *filter(None, [given])])
        # With the default of 10 s, an unreachable collector delays the shutdown until the process is killed.
        os.environ.setdefault("OTEL_EXPORTER_OTLP_TIMEOUT", "2")
    return {
        "auto_configure": True,
        # A span for each dependency would make every request 50 % more expensive.
        "operation_spans": False,
        "exclude": is_health_path,
    }


def log_processors() -> list[Processor]:
    """Return processors that export log lines and add the ids of their trace; none if telemetry is off."""
    return [_export_line, _add_trace_ids] if enabled() else []


@asynccontextmanager
async def instrument(database: Database, health: Health, settings: Settings) -> AsyncIterator[None]:
    """Trace database statements, and measure the pool and health. Each export of metrics reads the health checks.

    Raises:
        OperatorError: another process uses `METRICS_PORT`.
    """
    serving = _serve_metrics(settings.host, settings.metrics_port) if settings.metrics_port else nullcontext()
    async with serving:
        if enabled():
            _trace_statements(database.engine.sync_engine)
        if enabled() or settings.metrics_port:
            _measure(database, health)
        yield


@asynccontextmanager
async def _serve_metrics(host: str, port: int) -> AsyncIterator[None]:
    from opentelemetry.exporter.prometheus import PrometheusMetricReader
    from opentelemetry.sdk.metrics import MeterProvider
    from prometheus_client import make_asgi_app
    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from .http_protocol import LimitedHTTPProtocol

    metrics_app = make_asgi_app()

    async def without_headers(scope: Scope, receive: Receive, send: Send) -> None:
        await metrics_app({**scope, "headers": []}, receive, send)  # it fails for headers that are not UTF-8

    config = Config(without_headers, log_config=None, access_log=False)
    protocol = partial(LimitedHTTPProtocol, config, state := ServerState(), {})
    try:
        server = await asyncio.get_running_loop().create_server(protocol, host, port)
    except OSError as error:
        raise OperatorError(
            f"Cannot serve metrics on {host}:{port} ({error.strerror}). Free the port, or change METRICS_PORT."
        ) from error
    provider = metrics.get_meter_provider()
    if not isinstance(provider, MeterProvider):  # FastAPI sets it only if a collector is configured
        provider = MeterProvider()
        metrics.set_meter_provider(provider)
    reader = PrometheusMetricReader()
    provider.add_metric_reader(reader)
    try:
        yield
    finally:
        server.close()
        for connection in state.connections:
            connection.shutdown()
        provider.remove_metric_reader(reader)


def _measure(database: Database, health: Health) -> None:
    pool = {"db.client.connection.pool.name": "main"}

    def read_connections(_: CallbackOptions) -> Iterator[Observation]:
        status = database.pool_status()
        yield Observation(status.in_use, {**pool, "db.client.connection.state": "used"})
        yield Observation(status.idle, {**pool, "db.client.connection.state": "idle"})

    def read(number: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        return lambda _: [Observation(getattr(database.pool_status(), number), pool)]

    def read_checks(_: CallbackOptions) -> Iterator[Observation]:
        for name, passed in health.checks().items():
            yield Observation(int(passed), {"check": name})

    meter = metrics.get_meter(SCOPE, __version__)
    for name, callback, unit, description in (
        ("count", read_connections, "{connection}", "Connections by state"),
        ("overflow", read("overflow"), "{connection}", "Connections beyond the pool size"),
        ("max", read("limit"), "{connection}", "Connections that the process may open"),
        ("pending_requests", read("waiting"), "{request}", "Requests that wait for a connection"),
    ):
        meter.create_observable_up_down_counter(f"db.client.connection.{name}", [callback], unit, description)
    meter.create_observable_gauge("health.check", [read_checks], "1", "1 if the check passes, else 0")


def _trace_statements(engine: Engine) -> None:
    # opentelemetry-instrumentation-sqlalchemy does not support SQLAlchemy 2.1 yet.
    tracer = trace.get_tracer(SCOPE, __version__)
    server = {
        "db.system.name": engine.dialect.name,
        "db.namespace": engine.url.database,
        "server.address": engine.url.host,
        "server.port": engine.url.port,
    }
    always = {name: value for name, value in server.items() if value is not None}

    @event.listens_for(engine, "before_cursor_execute")
    def start(
        connection: Connection, cursor: Any, statement: str, parameters: Any, execution: Any, executemany: bool
    ) -> None:
        operation = next(iter(statement.split(maxsplit=1)), "").upper()
        attributes = {**always, "db.operation.name": operation, "db.query.text": statement}
        execution.span = tracer.start_span(operation, kind=trace.SpanKind.CLIENT, attributes=attributes)

    @event.listens_for(engine, "after_cursor_execute")
    def end(
        connection: Connection, cursor: Any, statement: str, parameters: Any, execution: Any, executemany: bool
    ) -> None:
        execution.span.end()

    @event.listens_for(engine, "handle_error")
    def fail(failure: ExceptionContext) -> None:
        span: trace.Span | None = getattr(failure.execution_context, "span", None)
        if span is not None:
            # The message may contain data, so only the type is exported.
            span.set_attribute("error.type", type(failure.original_exception).__qualname__)
            span.set_status(trace.StatusCode.ERROR)
            span.end()


def _export_line(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    # Lines of the exporter itself would cause the next export, and so on.
    if get_value(_SUPPRESS_INSTRUMENTATION_KEY) or str(event.get("logger")).startswith("opentelemetry"):
        return event
    severity = {"warning": "WARN", "critical": "FATAL"}.get(event["level"], event["level"].upper())
    exc_info = sys.exc_info() if event.get("exc_info") is True else event.get("exc_info")
    fields = {name: value for name, value in event.items() if name not in RESERVED and not name.startswith("_")}
    _logs.get_logger(SCOPE, __version__).emit(
        timestamp=time_ns(),
        severity_number=_logs.SeverityNumber[severity],
        severity_text=severity,
        body=event["event"],
        attributes={name: v if isinstance(v, str | bool | int | float) else str(v) for name, v in fields.items()},
        exception=exc_info[1] if isinstance(exc_info, tuple) else exc_info,
    )
    return event


def _add_trace_ids(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        event["trace_id"] = trace.format_trace_id(span.trace_id)
        event["span_id"] = trace.format_span_id(span.span_id)
    return event
