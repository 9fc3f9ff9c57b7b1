"""Run the service with and without an OpenTelemetry collector, and check what it exports."""

import json
import signal
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from processes import free_port, run_alembic, serving, wait_for, wait_until_healthy

TRACED_SERVICE = str(Path(__file__).with_name("traced_service.py"))
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
CALLER = {"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01"}


class Collector(ThreadingHTTPServer):
    """HTTP server that keeps the bodies of all requests, by path."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.received: defaultdict[str, list[bytes]] = defaultdict(list)

    @property
    def spans(self) -> list[Span]:
        requests = map(ExportTraceServiceRequest.FromString, self.received["/v1/traces"])
        return [
            span
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def metrics(self) -> list[Metric]:
        requests = map(ExportMetricsServiceRequest.FromString, list(self.received["/v1/metrics"]))
        return [
            metric
            for request in requests
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]

    @property
    def checks(self) -> list[dict[str, int]]:
        """Return the health checks of each export: 1 or 0 by name."""
        exports = (metric.gauge.data_points for metric in self.metrics if metric.name == "health.check")
        return [{values(point.attributes)["check"]: point.as_int for point in export} for export in exports]

    @property
    def records(self) -> list[LogRecord]:
        requests = map(ExportLogsServiceRequest.FromString, self.received["/v1/logs"])
        return [
            record
            for request in requests
            for resource in request.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]


class Receiver(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        self.server.received[self.path].append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever, args=(0.05,))
        thread.start()
        yield collector
        collector.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def migrated_database(empty_database: str) -> None:
    run_alembic("upgrade", "head")


def stop(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """Stop the process, and return its log lines."""
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 0, output
    return [json.loads(line) for line in output.splitlines()]


def values(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    return {
        attribute.key: getattr(attribute.value, attribute.value.WhichOneof("value") or "string_value")
        for attribute in attributes
    }


def find_span(spans: Iterable[Span], name: str, parent: Span | None = None) -> Span:
    (span,) = (s for s in spans if s.name == name and (parent is None or s.parent_span_id == parent.span_id))
    return span


def test_collector_receives_spans_metrics_and_logs_of_one_trace(collector: Collector) -> None:
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
        "OTEL_METRIC_EXPORT_INTERVAL": "200",
        "OTEL_RESOURCE_ATTRIBUTES": "service.version=mine",
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "DEBUG",
    }
    with serving(TRACED_SERVICE, **variables) as (process, url):
        wait_until_healthy(f"{url}/health/ready")
        assert "opentelemetry.sdk" in httpx2.get(f"{url}/traced", headers=CALLER).json()
        assert httpx2.get(f"{url}/broken").status_code == 500
        wait_for(
            lambda: "http.server.request.duration" in {metric.name for metric in collector.metrics},
            "The collector gets no http.server.request.duration.",
        )
        # On a busy machine, the health checks of some exports may fail.
        wait_for(lambda: {"database": 1, "migrations": 1, "accepting": 1} in collector.checks, f"{collector.checks}")
        lines = stop(process)

    spans = collector.spans
    request = find_span(spans, "GET /traced")
    statement = find_span(spans, "SELECT", request)
    assert request.trace_id.hex() == statement.trace_id.hex() == TRACE_ID
    assert values(statement.attributes)["db.query.text"] == "SELECT 1"
    assert {values(span.attributes).get("http.route") for span in spans} == {"/traced", "/broken", None}

    failed = find_span(spans, "SELECT", find_span(spans, "GET /broken"))
    assert failed.status.code == Status.STATUS_CODE_ERROR
    assert failed.status.message == ""
    assert "Error" in values(failed.attributes)["error.type"]

    ids = {"trace_id": TRACE_ID, "span_id": request.span_id.hex()}
    for event in ("answered", "Answered 1 times", "request"):
        (line,) = (line for line in lines if line["event"] == event and line.get("path") in (None, "/traced"))
        assert line.items() >= ids.items(), f"The log line of {event!r} has other ids: {line}"
    assert "trace_id" not in next(line for line in lines if line["event"] == "service_started")

    (record,) = (record for record in collector.records if record.body.string_value == "answered")
    assert (record.trace_id, record.span_id) == (request.trace_id, request.span_id)
    assert record.severity_text == "INFO"
    assert values(record.attributes).items() >= {"logger": "service", "count": 1, "password": "[redacted]"}.items()
    (record,) = (record for record in collector.records if record.body.string_value == "Answered 1 times")
    assert record.severity_text == "WARN"
    (record,) = (record for record in collector.records if record.body.string_value == "unexpected_error")
    assert "Error" in values(record.attributes)["exception.type"]
    # Log lines of the exporter are not exported: each export would cause another export.
    assert any(line["logger"].startswith("urllib3") for line in lines)
    loggers = {str(values(record.attributes).get("logger")) for record in collector.records}
    assert {logger for logger in loggers if logger.startswith(("urllib3", "opentelemetry"))} == set()

    metrics = {metric.name: metric for metric in collector.metrics}
    durations = metrics["http.server.request.duration"].histogram.data_points
    assert {values(point.attributes)["http.route"] for point in durations} == {"/traced", "/broken"}
    exported = (point for metric in collector.metrics for point in metric.histogram.data_points)
    assert TRACE_ID in {exemplar.trace_id.hex() for point in exported for exemplar in point.exemplars}
    connections = metrics["db.client.connection.count"].sum.data_points
    assert {values(point.attributes)["db.client.connection.state"] for point in connections} == {"used", "idle"}
    for name in ("overflow", "pending_requests"):
        assert [point.as_int for point in metrics[f"db.client.connection.{name}"].sum.data_points] == [0]
    assert [point.as_int > 0 for point in metrics["db.client.connection.max"].sum.data_points] == [True]

    (trace, *_) = map(ExportTraceServiceRequest.FromString, collector.received["/v1/traces"])
    resource = values(trace.resource_spans[0].resource.attributes)
    assert resource["service.name"] == "my-service"
    assert resource["service.version"] == "mine"


def test_opentelemetry_sdk_is_not_imported_without_collector() -> None:
    with serving(TRACED_SERVICE, LOG_FORMAT="json") as (process, url):
        assert httpx2.get(f"{url}/traced", headers=CALLER).json() == []
        assert [line for line in stop(process) if "trace_id" in line] == []


def test_prometheus_reads_requests_pool_and_health() -> None:
    port = free_port()
    with serving(TRACED_SERVICE, METRICS_PORT=str(port), LOG_FORMAT="json") as (process, url):
        assert httpx2.get(f"{url}/traced").status_code == 200
        assert httpx2.get(f"{url}/metrics").status_code == 404
        page = httpx2.get(f"http://127.0.0.1:{port}/metrics").text
        stop(process)
    for sample in (
        'http_route="/traced"',
        'db_client_connection_count{db_client_connection_pool_name="main",db_client_connection_state="idle"',
        'health_check{check="database"',
        'service_version="0.1.0"',
    ):
        assert sample in page


def test_unreachable_collector_does_not_delay_shutdown() -> None:
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "LOG_FORMAT": "json",
    }
    with serving(TRACED_SERVICE, **variables) as (process, url):
        assert httpx2.get(f"{url}/traced").status_code == 200
        stopped = time.monotonic()
        lines = stop(process)
        assert time.monotonic() - stopped < 9
    assert "opentelemetry.exporter.otlp.proto.http.trace_exporter" in {line["logger"] for line in lines}
