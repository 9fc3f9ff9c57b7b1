"""Structured logs: the service's own lines and those of the libraries in one form, on standard output."""

from __future__ import annotations

import logging
import re
import sys
from functools import cache
from typing import TYPE_CHECKING, cast

import structlog

from . import telemetry

if TYPE_CHECKING:
    from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

    from .config import Settings

REDACTED = "[redacted]"
CREDENTIALS = re.compile(r"(://[^\s:/@]*):[^\s/@]*@")
"""The password in a URL."""

SECRET_NAMES = ("password", "secret", "token", "authorization", "cookie", "api_key")


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger whose lines carry the module's name: `logger = get_logger(__name__)`."""
    return cast("FilteringBoundLogger", structlog.get_logger(logger_name=name))


def configure_logging(settings: Settings) -> None:
    """Make every line of this process, uvicorn's and the libraries' included, look as the settings say."""
    common: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _redact,
        *telemetry.log_processors(),
    ]
    if settings.log_format == "json":
        output: list[Processor] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        output = [structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())]

    numbers = logging.getLevelNamesMapping()
    level, levels = numbers[settings.log_level], {name: numbers[own] for name, own in settings.log_levels.items()}
    structlog.configure(
        processors=[*([_filter(level, levels)] if levels else []), _rename_logger, *common, *output],
        wrapper_class=structlog.make_filtering_bound_logger(min([level, *levels.values()])),
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
        # A logger that is kept also keeps this output, which a test's capture replaces.
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
    """Drop what is below the level of its logger, or of the nearest one above that has its own."""
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
