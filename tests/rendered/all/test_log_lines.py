"""Tests of log lines: console format, exceptions, levels and redaction."""

import json
import logging

import pytest
import structlog
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from structlog.typing import EventDict

from my_service.config import Settings
from my_service.database import Database
from my_service.logs import configure_logging, get_logger

pytestmark = pytest.mark.usefixtures("restored_logging")


def test_lines_of_service_and_libraries_have_the_same_format(
    capsys: pytest.CaptureFixture[str], settings: Settings
) -> None:
    configure_logging(settings.model_copy(update={"log_format": "console"}))
    get_logger("service").info("order_created", count=1)
    logging.getLogger("library").warning("Not found: %s", "x")
    own, foreign = capsys.readouterr().out.splitlines()
    assert "order_created" in own
    assert "count=1" in own
    assert "Not found: x" in foreign


def test_values_cannot_control_a_terminal(capsys: pytest.CaptureFixture[str], settings: Settings) -> None:
    configure_logging(settings.model_copy(update={"log_format": "console"}))
    get_logger("service").info("first\nsecond", path="/a\x1b[31m\x9b\0\u202e", name="Käse")
    lines = capsys.readouterr().out
    assert "first\nsecond" in lines
    assert r"path=/a\x1b[31m\x9b\x00\u202e" in lines
    assert "name=Käse" in lines


def test_exception_is_part_of_the_log_line(capsys: pytest.CaptureFixture[str], settings: Settings) -> None:
    configure_logging(settings.model_copy(update={"log_format": "json"}))
    try:
        int("lost")
    except ValueError:
        get_logger("service").exception("failed")
        logging.getLogger("library").exception("failed")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert "ValueError: invalid literal" in json.loads(line)["exception"]


def test_log_level_is_set_by_the_settings(capsys: pytest.CaptureFixture[str], settings: Settings) -> None:
    configure_logging(settings.model_copy(update={"log_level": "ERROR"}))
    get_logger("service").warning("quiet")
    logging.getLogger("library").warning("quiet")
    assert capsys.readouterr().out == ""


def test_password_in_a_url_is_redacted(capsys: pytest.CaptureFixture[str], settings: Settings) -> None:
    configure_logging(settings)
    get_logger("service").info("connecting", url="amqp://user:hunter2@host/name")
    lines = capsys.readouterr().out
    assert "hunter2" not in lines
    assert "amqp://user:***@host/name" in lines


def test_log_levels_can_differ_by_logger(capsys: pytest.CaptureFixture[str], settings: Settings) -> None:
    levels = {"quiet": "ERROR", "loud": "DEBUG", "library": "DEBUG"}
    configure_logging(settings.model_copy(update={"log_level": "INFO", "log_levels": levels}))
    for name in ("quiet.part", "loud", "other"):
        get_logger(name).debug("debug")
        get_logger(name).warning("warning")
    logging.getLogger("library.part").debug("debug")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [(line[-1], line[-2]) for line in lines] == [
        ("[loud]", "debug"),
        ("[loud]", "warning"),
        ("[other]", "warning"),
        ("[library.part]", "debug"),
    ]
    logging.getLogger("library").setLevel(logging.NOTSET)


def test_logger_without_a_name_has_the_common_level(capsys: pytest.CaptureFixture[str], settings: Settings) -> None:
    configure_logging(
        settings.model_copy(update={"log_format": "json", "log_level": "INFO", "log_levels": {"loud": "DEBUG"}})
    )
    structlog.get_logger().info("started")
    structlog.get_logger().debug("hidden")
    assert [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()] == ["started"]


def test_extra_of_the_standard_library_is_in_the_line(capsys: pytest.CaptureFixture[str], settings: Settings) -> None:
    configure_logging(settings.model_copy(update={"log_format": "json"}))
    logging.getLogger("library").warning("lost", extra={"order": 7, "token": "hunter2"})
    logging.getLogger("uvicorn.error").info("Started", extra={"color_message": "in color"})
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["order"], first["token"]) == (7, "[redacted]")
    assert "color_message" not in second


async def test_echoed_statements_have_the_format_of_the_log(
    capsys: pytest.CaptureFixture[str], settings: Settings
) -> None:
    settings = settings.model_copy(update={"log_format": "json", "database_echo": True})
    configure_logging(settings)
    database = Database(settings)
    async with database.session() as session:
        await session.execute(text("SELECT 42"))
    await database.dispose()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["logger"] for line in lines if line["event"] == "SELECT 42"] == ["sqlalchemy.engine.Engine"]
    logging.getLogger("sqlalchemy.engine").setLevel(logging.NOTSET)


@pytest.mark.parametrize(("threshold", "logged"), [(1e-9, ["SELECT 42", "SELECT missing"]), (60.0, []), (0.0, [])])
async def test_slow_statements_are_logged(
    settings: Settings, log_lines: list[EventDict], threshold: float, logged: list[str]
) -> None:
    database = Database(settings.model_copy(update={"database_slow_query_threshold": threshold}))
    async with database.read_only_session() as session:
        await session.execute(text("SELECT 42"))
        with pytest.raises(DBAPIError):
            await session.execute(text("SELECT missing"))
    await database.dispose()
    slow = [line for line in log_lines if line["event"] == "slow_statement" and line["statement"] != "BEGIN"]
    assert [line["statement"] for line in slow] == logged
    assert all(line["duration_seconds"] < 60 for line in slow)
