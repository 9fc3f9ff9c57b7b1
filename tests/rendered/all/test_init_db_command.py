"""Run scripts/init_db.py as a process."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from processes import run_python
from sqlalchemy import URL, make_url, text
from support.database import make_settings

from my_service.backends import backend_for
from my_service.config import Settings

SCRIPT = "scripts/init_db.py"


@pytest.fixture
async def missing_database(empty_settings: Settings) -> AsyncIterator[str]:
    """Yield the URL of a database that does not exist. Drop the database at the end."""
    url = empty_settings.database_url
    missing = url.set(database=f"{url.database}_missing")
    yield missing.render_as_string(hide_password=False)
    if url.get_backend_name() == "postgresql":
        await drop_database(url, missing)
    else:
        delete_file(missing)


def delete_file(database: URL) -> None:
    Path(database.database or "").unlink()


async def drop_database(server: URL, database: URL) -> None:
    engine = backend_for(server).create_migration_engine(make_settings(server))
    async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        await connection.execute(text(f"DROP DATABASE {database.database}"))
    await engine.dispose()


def test_second_run_changes_nothing(missing_database: str) -> None:
    first = run_python(SCRIPT, "--seed", DATABASE_URL=missing_database)
    assert first.returncode == 0, first.stderr
    assert "created" in first.stdout
    second = run_python(SCRIPT, "--seed", DATABASE_URL=missing_database)
    assert second.returncode == 0, second.stderr
    assert "exists" in second.stdout
    assert "(0 new" in second.stdout


@pytest.mark.usefixtures("empty_database")
def test_reset_asks_before_it_drops_the_tables() -> None:
    assert run_python(SCRIPT, "--seed").returncode == 0
    refused = run_python(SCRIPT, "--reset", answer="n\n")
    assert refused.returncode == 1
    assert "(0 new" in run_python(SCRIPT, "--seed").stdout
    reset = run_python(SCRIPT, "--reset", "--seed", answer="y\n")
    assert reset.returncode == 0, reset.stderr
    assert "all tables dropped" in reset.stdout


@pytest.mark.usefixtures("empty_database")
def test_reset_is_refused_in_production() -> None:
    production = {"ENVIRONMENT": "production", "SECRET_KEY": "0123456789abcdefghijklmnopqrstuv"}
    finished = run_python(SCRIPT, "--reset", "--yes", **production)
    assert finished.returncode == 1
    assert "ENVIRONMENT=production" in finished.stderr


def test_unreachable_server_is_explained_without_traceback(empty_database: str) -> None:
    url = make_url(empty_database)
    nowhere = url.set(port=1) if url.port else url.set(database="/proc/nowhere/test.db")
    finished = run_python(SCRIPT, DATABASE_URL=nowhere.render_as_string(hide_password=False))
    assert finished.returncode == 1
    assert "DATABASE_URL" in finished.stderr
    assert "Traceback" not in finished.stderr
