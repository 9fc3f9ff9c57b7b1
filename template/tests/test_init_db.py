"""`db init` creates, migrates, seeds and resets the database."""

from pathlib import Path

import init_db
import pytest
from click.testing import CliRunner, Result

pytestmark = pytest.mark.usefixtures("empty_database")


def run(*arguments: str, answer: str = "") -> Result:
    return CliRunner().invoke(init_db.main, ["db", "init", *arguments], input=answer)


def test_second_run_adds_nothing() -> None:
    first = run("--seed")
    assert first.exit_code == 0, first.output
    assert "migrations applied" in first.output
    assert "(0 new rows)" in run("--seed").output


def test_missing_sqlite_file_is_created(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/new/test.db")
    assert "database created" in run().output
    assert "database exists" in run().output


def test_reset_asks_before_it_drops_the_tables() -> None:
    run("--seed")
    assert run("--reset", answer="n\n").exit_code == 1
    assert "(0 new rows)" in run("--seed").output
    reset = run("--reset", "--seed", answer="y\n")
    assert reset.exit_code == 0, reset.output
    assert "all tables dropped" in reset.output


@pytest.mark.parametrize("option", ["--reset", "--seed"])
def test_development_option_is_refused_in_production(monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.setenv("SECRET_KEY", "0123456789abcdefghijklmnopqrstuv")
    refused = run(option, "--yes")
    assert refused.exit_code == 1
    assert "ENVIRONMENT=production" in refused.output
