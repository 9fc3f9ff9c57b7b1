"""Traces, metrics and logs for an OpenTelemetry collector, where the standard `OTEL_*` variables name one.

FastAPI traces and measures the requests and sends what there is; here are the database, the health and the log lines,
and the port that Prometheus scrapes, where `METRICS_PORT` is one. Without any of those variables nothing of
OpenTelemetry's SDK is even imported.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import ExitStack, contextmanager
from time import time_ns
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from opentelemetry import _logs, metrics, trace
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, get_value
from sqlalchemy import event

from . import __version__
from .errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi.telemetry import TelemetryConfig
    from opentelemetry.metrics import CallbackOptions, Observation
    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine import ExceptionContext
    from structlog.typing import EventDict, Processor, WrappedLogger

    from .config import Settings
    from .database import Database
    from .health import Health

SCOPE = __name__.partition(".")[0]
SEVERITIES = {
    "debug": _logs.SeverityNumber.DEBUG,
    "info": _logs.SeverityNumber.INFO,
    "warning": _logs.SeverityNumber.WARN,
    "error": _logs.SeverityNumber.ERROR,
    "critical": _logs.SeverityNumber.FATAL,
}


def enabled() -> bool:
    """Whether the environment names a collector, for all signals or for one: FastAPI's own rule."""
    signals = ("", "TRACES_", "METRICS_", "LOGS_")
    return os.environ.get("OTEL_SDK_DISABLED", "").lower() != "true" and any(
        os.environ.get(f"OTEL_EXPORTER_OTLP_{signal}ENDPOINT") for signal in signals
    )


def configuration(settings: Settings, exclude: str) -> TelemetryConfig:
    """What FastAPI is to observe: all but the paths below `exclude`."""
    if enabled() or settings.metrics_port:
        # The SDK reads its resource here; what comes later in the list wins, and so does OTEL_SERVICE_NAME.
        attributes = {
            "service.name": SCOPE.replace("_", "-"),
            "service.version": __version__,
            "service.instance.id": uuid4(),
            "deployment.environment.name": settings.environment,
        }
        given = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
        defaults = [f"{name}={value}" for name, value in attributes.items()]
        os.environ["OTEL_RESOURCE_ATTRIBUTES"] = ",".join([*defaults, *filter(None, [given])])
        # Seconds. With the SDK's own 10, a collector that is away holds the end up until the orchestrator kills.
        os.environ.setdefault("OTEL_EXPORTER_OTLP_TIMEOUT", "2")
    return {
        "auto_configure": True,
        # A span for each dependency makes every request dearer by half.
        "operation_spans": False,
        "exclude": lambda scope: f"{scope['path']}/".startswith(f"{exclude}/"),
    }


def log_processors() -> list[Processor]:
    """What sends log lines to the collector and gives them the ids of their trace: nothing when it is off."""
    return [_send, _add_ids] if enabled() else []


@contextmanager
def observing(database: Database, health: Health, settings: Settings) -> Iterator[None]:
    """Trace the statements of requests; measure the pool and the health, which is then asked as often as exported.

    Raises:
        OperatorError: another process listens on `METRICS_PORT`.
    """
    with ExitStack() as stack:
        if settings.metrics_port:
            stack.enter_context(_serving_metrics(settings.host, settings.metrics_port))
        if enabled():
            _trace_statements(database.engine.sync_engine)
        if enabled() or settings.metrics_port:
            stack.enter_context(_measuring(database, health))
        yield


@contextmanager
def _serving_metrics(host: str, port: int) -> Iterator[None]:
    from opentelemetry.exporter.prometheus import PrometheusMetricReader
    from opentelemetry.sdk.metrics import MeterProvider
    from prometheus_client import start_http_server

    try:
        server, thread = start_http_server(port, host)
    except OSError as error:
        raise OperatorError(f"Cannot serve metrics on {host}:{port} ({error.strerror}): set METRICS_PORT.") from error
    provider = metrics.get_meter_provider()
    if not isinstance(provider, MeterProvider):  # which it is where they are sent to a collector, too
        provider = MeterProvider()
        metrics.set_meter_provider(provider)
    reader = PrometheusMetricReader()
    provider.add_metric_reader(reader)
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        provider.remove_metric_reader(reader)


@contextmanager
def _measuring(database: Database, health: Health) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    measuring = True

    def measure_pool(options: CallbackOptions) -> Iterator[Observation]:
        if measuring:
            status = database.pool.status()
            for state, count in (("used", status.in_use), ("idle", status.idle)):
                yield metrics.Observation(
                    count, {"db.client.connection.pool.name": "main", "db.client.connection.state": state}
                )

    def measure_overflow(options: CallbackOptions) -> Iterator[Observation]:
        if measuring:
            yield metrics.Observation(database.pool.status().overflow, {"db.client.connection.pool.name": "main"})

    def measure_health(options: CallbackOptions) -> Iterator[Observation]:
        if measuring:  # the caller is a thread
            checks = asyncio.run_coroutine_threadsafe(health.checks(), loop).result(timeout=5)
            for name, passed in checks.items():
                yield metrics.Observation(int(passed), {"check": name})

    meter = metrics.get_meter(SCOPE, __version__)
    meter.create_observable_up_down_counter(
        "db.client.connection.count", [measure_pool], "{connection}", "Connections, by state."
    )
    meter.create_observable_up_down_counter(
        "db.client.connection.overflow", [measure_overflow], "{connection}", "Connections over the pool's size."
    )
    meter.create_observable_gauge(
        "health.check", [measure_health], "1", "1 where the database answers, or all migrations are applied."
    )
    try:
        yield
    finally:
        measuring = False


def _trace_statements(engine: Engine) -> None:
    # Not by opentelemetry-instrumentation-sqlalchemy, which refuses SQLAlchemy 2.1 and pins betas of the SDK.
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
            # Not its message, which may hold what is in the tables.
            span.set_attribute("error.type", type(failure.original_exception).__qualname__)
            span.set_status(trace.StatusCode.ERROR)
            span.end()


def _send(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    # What the exporter itself has to say would be exported, and so on for ever.
    if not get_value(_SUPPRESS_INSTRUMENTATION_KEY) and not str(event.get("logger")).startswith("opentelemetry"):
        level = event["level"]
        _logs.get_logger(SCOPE, __version__).emit(
            timestamp=time_ns(),
            severity_number=SEVERITIES[level],
            severity_text=level.upper(),
            body=event["event"],
            attributes={
                name: value if isinstance(value, str | bool | int | float) else str(value)
                for name, value in event.items()
                if name not in ("event", "level", "timestamp", "exc_info") and not name.startswith("_")
            },
            exception=_exception(event.get("exc_info")),
        )
    return event


def _exception(exc_info: object) -> BaseException | None:
    if isinstance(exc_info, tuple):
        exc_info = exc_info[1]
    elif exc_info is True:
        exc_info = sys.exc_info()[1]
    return exc_info if isinstance(exc_info, BaseException) else None


def _add_ids(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        event["trace_id"] = trace.format_trace_id(span.trace_id)
        event["span_id"] = trace.format_span_id(span.span_id)
    return event
