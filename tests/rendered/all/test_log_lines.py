"""Tests of log lines: console format, exceptions, levels and redaction."""

import json
import logging

import pytest

from my_service.config import Settings
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
