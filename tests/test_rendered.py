"""Run the tests of `rendered/` in renders, and the rendered suite with changed defaults."""

from __future__ import annotations

import re

import pytest

from answers import Answers
from conftest import EnvironmentOf, Render
from rendered_tests import add_rendered_tests

RUNS: dict[str, tuple[Answers, str]] = {
    "default": ({}, "postgresql"),
    "default on SQLite": ({}, "sqlite"),
    "SQLite": ({"database_backend": "sqlite"}, "sqlite"),
    "users": ({"auth": "jwt"}, "postgresql"),
    "no namespace": ({"schema_namespace": ""}, "postgresql"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_template_tests_pass_in_a_render(project: Render, environment: EnvironmentOf, postgres: str, name: str) -> None:
    answers, database = RUNS[name]
    service = project(**answers)
    add_rendered_tests(service, answers)
    url = postgres if database == "postgresql" else "sqlite://"
    environment(service).run(service, "pytest", "-q", "tests/rendered", TEST_DATABASE_URL=url)


@pytest.mark.slow
def test_template_tests_pass_lint_and_type_check(project: Render, environment: EnvironmentOf) -> None:
    answers = {"auth": "jwt"}
    service = project(**answers)
    add_rendered_tests(service, answers)
    python = environment(service)
    python.run(service, "ruff", "check", "--no-cache", "tests")
    python.run(service, "ruff", "format", "--no-cache", "--check", "tests")
    python.run(service, "mypy", "src", "tests")


def test_only_tests_for_the_given_answers_are_added(project: Render) -> None:
    answers = {"database_backend": "sqlite", "include_example": False}
    service = project(**answers)
    add_rendered_tests(service, answers)
    added = {path.name for path in (service / "tests" / "rendered").iterdir()}
    assert "test_process.py" in added
    assert not added & {"test_pool.py", "test_item_routes.py", "test_password_timing.py"}


DEFAULTS = {
    "project_name": '"Orders"',
    "api_prefix": '"/orders/v3"',
    "host": '"0.0.0.0"',
    "port": "9000",
    "allowed_hosts": '["orders.example.com"]',
    "docs_enabled": "False",
    "max_body_size": "100_000",
    "max_concurrent_requests": "7",
    "cache_ttl": "0.001",
    "shutdown_delay": "5",
    "access_token_expire_minutes": "5",
    "login_attempts_per_minute": "3",
    "log_level": '"ERROR"',
    "log_format": '"json"',
    "metrics_port": "9100",
    "database_startup_timeout": "1",
    "database_pool_size": "2",
    "database_max_overflow": "1",
    "database_pool_timeout": "3",
    "database_pool_recycle": "60",
    "database_pool_pre_ping": "False",
    "database_statement_timeout": "7",
    "instances": "4",
}


@pytest.mark.slow
def test_suite_passes_after_the_owner_changes_version_and_defaults(
    project: Render, environment: EnvironmentOf, postgres: str
) -> None:
    service = project(auth="jwt")
    pyproject, config = service / "pyproject.toml", service / "src" / "my_service" / "config.py"
    pyproject.write_text(pyproject.read_text("utf-8").replace('version = "0.1.0"', 'version = "3.1.4"'), "utf-8")
    text = config.read_text("utf-8")
    for name, value in DEFAULTS.items():
        default = re.compile(rf"^(    {name}: .* = )[^#\n]+?(  #.*)?$", re.MULTILINE)
        text, count = default.subn(rf"\g<1>{value}\g<2>", text)
        assert count == 1, f"config.py must have one default of {name}."
    config.write_text(text, "utf-8")
    environment(service).run(service, "pytest", "-q", TEST_DATABASE_URL=postgres)
