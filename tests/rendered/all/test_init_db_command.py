"""Run scripts/init_db.py and `python -m my_service db init` as processes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from processes import run_python
from sqlalchemy import URL, inspect, make_url, text
from support.database import make_settings

from my_service.backends import backend_for
from my_service.config import Settings
from my_service.migrations import VERSION_TABLE

SCRIPT = "scripts/init_db.py"
SCHEMA = VERSION_TABLE.schema


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


PRODUCTION = {"ENVIRONMENT": "production", "SECRET_KEY": "0123456789abcdefghijklmnopqrstuv"}


@pytest.mark.usefixtures("empty_database")
@pytest.mark.parametrize("option", ["--seed", "--reset"])
def test_database_that_was_migrated_in_production_stays_unchanged(option: str) -> None:
    migrated = run_python("-m", "my_service", "db", "init", **PRODUCTION)
    assert migrated.returncode == 0, migrated.stderr
    finished = run_python("-m", "my_service", "db", "init", option, "--yes")
    assert finished.returncode == 1
    assert "ENVIRONMENT=production was set when this database was migrated" in finished.stderr
    assert "dropped" not in finished.stdout


async def execute(url: str, *statements: str) -> set[str]:
    """Execute statements, and return the names of the tables in the schema of the service."""
    settings = make_settings(make_url(url))
    async with backend_for(settings.database_url).create_migration_engine(settings).connect() as connection:
        for statement in statements:
            await connection.execute(text(statement))
        await connection.commit()
        return set(await connection.run_sync(lambda sync: inspect(sync).get_table_names(SCHEMA)))


async def test_reset_works_without_a_migration_file(empty_database: str) -> None:
    assert run_python(SCRIPT).returncode == 0
    prefix = f'"{SCHEMA}".' if SCHEMA else ""
    referred = f"{prefix}parent" if make_url(empty_database).get_backend_name() == "postgresql" else "parent"
    before = await execute(empty_database)
    with_other_branch = await execute(
        empty_database,
        f"UPDATE {prefix}alembic_version SET version_num = 'missing'",
        f"CREATE TABLE {prefix}parent (id INTEGER PRIMARY KEY)",
        f"CREATE TABLE {prefix}child (parent INTEGER REFERENCES {referred} (id))",
    )
    assert with_other_branch == before | {"parent", "child"}
    finished = run_python(SCRIPT, "--reset", "--yes")
    assert finished.returncode == 0, finished.stderr
    # Without a schema, the service drops only its own tables, because others may share the database.
    assert await execute(empty_database) == (before if SCHEMA else with_other_branch)
    assert run_python("-m", "alembic", "check").returncode == 0


@pytest.mark.usefixtures("empty_database")
def test_output_does_not_need_unicode(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/数据.db"
    finished = run_python(SCRIPT, DATABASE_URL=url, PYTHONIOENCODING="latin-1", PYTHONUTF8="0")
    assert finished.returncode == 0, finished.stderr
    assert "migrations applied" in finished.stdout
    shown = run_python("-m", "my_service", "config", PROJECT_NAME="数据", PYTHONIOENCODING="latin-1")
    assert "PROJECT_NAME=??" in shown.stdout, shown.stderr


def test_unreachable_server_is_explained_without_traceback(empty_database: str) -> None:
    url = make_url(empty_database)
    nowhere = url.set(port=1) if url.port else url.set(database="/proc/nowhere/test.db")
    finished = run_python(SCRIPT, DATABASE_URL=nowhere.render_as_string(hide_password=False))
    assert finished.returncode == 1
    assert "DATABASE_URL" in finished.stderr
    assert "Traceback" not in finished.stderr
