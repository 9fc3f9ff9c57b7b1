"""Structured logs on standard output, in one format for the service and the libraries."""

import logging
import re
import sys
from collections.abc import Sequence
from functools import cache
from typing import cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from .config import Settings

REDACTED = "[redacted]"
CREDENTIALS = re.compile(r"(://[^\s:/@]*):[^\s/@]*@")
"""The password in a URL."""

SECRET_NAMES = ("password", "secret", "token", "authorization", "cookie", "api_key")


def get_logger(name: str) -> FilteringBoundLogger:
    """Return a logger that adds its name to each line: `logger = get_logger(__name__)`."""
    return cast("FilteringBoundLogger", structlog.get_logger(logger_name=name))


def configure_logging(settings: Settings, processors: Sequence[Processor] = ()) -> None:
    """Configure structlog and the standard library's logging. `processors` get each line after redaction."""
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
            structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]

    numbers = logging.getLevelNamesMapping()
    level, levels = numbers[settings.log_level], {name: numbers[own] for name, own in settings.log_levels.items()}
    structlog.configure(
        processors=[*([_filter(level, levels)] if levels else []), _rename_logger, *common, *output],
        wrapper_class=structlog.make_filtering_bound_logger(min([level, *levels.values()])),
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
        # A cached logger keeps its output, which pytest replaces for each test.
        cache_logger_on_first_use=settings.environment != "test",
    )

    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *common],
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
        name: str = event["logger_name"]
        while name not in levels and "." in name:
            name = name.rpartition(".")[0]
        if numbers[method] < levels.get(name, level):
            raise structlog.DropEvent
        return event

    return drop_quiet


def _rename_logger(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    event["logger"] = event.pop("logger_name", None)  # structlog takes no initial value of that name
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
