"""Structured logs on standard output, in one format for the service and the libraries."""

import logging
import re
import sys
from collections.abc import Sequence
from functools import cache
from typing import TextIO, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from .config import Settings
from .utils.line_writer import LineWriter

REDACTED = "[redacted]"
CREDENTIALS = re.compile(r"(://[^\s:/@]*):[^\s/@]*@")
"""The password in a URL."""

SECRET_NAMES = ("password", "secret", "token", "authorization", "cookie", "api_key")
ADD_EXTRA = structlog.stdlib.ExtraAdder()


def get_logger(name: str) -> FilteringBoundLogger:
    """Return a logger that adds its name to each line: `logger = get_logger(__name__)`."""
    return cast("FilteringBoundLogger", structlog.get_logger(logger_name=name))


def configure_logging(settings: Settings, processors: Sequence[Processor] = (), *, in_thread: bool = False) -> None:
    """Configure structlog and the standard library's logging.

    Args:
        processors: get each line after redaction.
        in_thread: write in a thread, so that a slow reader of the output cannot block the caller.
    """
    common: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _redact,
        *processors,
    ]
    if settings.log_format == "json":
        output: list[Processor] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        output = [
            _escape_controls,
            structlog.dev.ConsoleRenderer(
                colors=sys.stdout.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ]

    numbers = logging.getLevelNamesMapping()
    level, levels = numbers[settings.log_level], {name: numbers[own] for name, own in settings.log_levels.items()}
    if settings.database_echo:
        levels.setdefault("sqlalchemy.engine", logging.INFO)
    stream = cast("TextIO", LineWriter(sys.stdout.fileno(), _report_dropped)) if in_thread else sys.stdout
    structlog.configure(
        processors=[*([_filter(level, levels)] if levels else []), _rename_logger, *common, *output],
        wrapper_class=structlog.make_filtering_bound_logger(min([level, *levels.values()])),
        logger_factory=structlog.WriteLoggerFactory(stream),
        # A cached logger keeps its output, which pytest replaces for each test.
        cache_logger_on_first_use=settings.environment != "test",
    )

    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, _add_extra, *common],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *output],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.captureWarnings(True)
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)
    for name, own in levels.items():
        logging.getLogger(name).setLevel(own)


def _filter(level: int, levels: dict[str, int]) -> Processor:
    """Return a processor that drops lines below the level of their logger, or of its nearest parent with a level."""
    numbers = {name.lower(): number for name, number in logging.getLevelNamesMapping().items()}
    numbers["exception"] = logging.ERROR

    def drop_quiet(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        name: str = event.get("logger_name", "")
        while name not in levels and "." in name:
            name = name.rpartition(".")[0]
        if numbers[method] < levels.get(name, level):
            raise structlog.DropEvent
        return event

    return drop_quiet


def _report_dropped(count: int) -> None:
    get_logger(__name__).warning("log_lines_dropped", count=count)


def _add_extra(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Add the `extra` of a call of the standard library, without uvicorn's copy of its message in color."""
    event = ADD_EXTRA(logger, method, event)
    event.pop("color_message", None)
    return event


def _rename_logger(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    event["logger"] = event.pop("logger_name", None)  # structlog takes no initial value of that name
    return event


def _escape_controls(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Escape characters that control a terminal. Messages and tracebacks keep their lines."""
    for name in event.keys() - {"event", "exception", "stack"}:
        if isinstance(value := event[name], str) and not value.isprintable():
            event[name] = value.encode("unicode_escape").decode()
    return event


@cache
def _is_secret(name: str) -> bool:
    return any(secret in name.lower() for secret in SECRET_NAMES)


def _redact(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    for name, value in event.items():
        if _is_secret(name):
            event[name] = REDACTED
        elif isinstance(value, str) and "://" in value:
            event[name] = CREDENTIALS.sub(r"\1:***@", value)
    return event
