"""Run Alembic commands as processes, and check the tables that they create."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from processes import ROOT, run_alembic, run_python
from sqlalchemy import Connection, inspect
from sqlalchemy.ext.asyncio import AsyncEngine

from my_service.backends import backend_for
from my_service.config import Settings
from my_service.migrations import alembic_config, read_revisions
from my_service.models import Base

pytestmark = pytest.mark.usefixtures("empty_database")


@pytest.fixture
def engine(empty_settings: Settings) -> AsyncEngine:
    return backend_for(empty_settings.database_url).create_migration_engine(empty_settings)


def tables(connection: Connection) -> set[tuple[str | None, str]]:
    inspector = inspect(connection)
    return {
        (schema, table)
        for schema in inspector.get_schema_names()
        if schema != "information_schema"
        for table in inspector.get_table_names(schema)
    }


def schemas_and_tables(connection: Connection) -> tuple[set[str], set[tuple[str | None, str]]]:
    return set(inspect(connection).get_schema_names()), tables(connection)


def test_upgraded_database_has_no_drift() -> None:
    for arguments in (["upgrade", "head"], ["check"], ["current", "--check-heads"]):
        run_alembic(*arguments)


async def test_downgrade_to_base_leaves_nothing(engine: AsyncEngine) -> None:
    if not ScriptDirectory.from_config(alembic_config()).get_heads():
        pytest.skip("The project has no migration.")
    async with engine.connect() as connection:
        before = await connection.run_sync(schemas_and_tables)
    for arguments in (["upgrade", "head"], ["downgrade", "base"]):
        run_alembic(*arguments)
    async with engine.connect() as connection:
        assert await connection.run_sync(schemas_and_tables) == before


async def test_commands_that_read_change_nothing(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        before = await connection.run_sync(schemas_and_tables)
    run_alembic("current")
    run_python("-m", "alembic", "check")  # fails, because the migrations are missing
    async with engine.connect() as connection:
        assert await connection.run_sync(schemas_and_tables) == before


async def test_tables_are_created_only_in_their_schema(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        if connection.dialect.name != "sqlite" or Base.metadata.schema is None:
            await connection.exec_driver_sql("CREATE TABLE others (id integer)")
        before = await connection.run_sync(tables)
    for arguments in (["upgrade", "head"], ["check"]):
        run_alembic(*arguments)
    async with engine.connect() as connection:
        after = await connection.run_sync(tables)
        schema = Base.metadata.schema or await connection.run_sync(lambda sync: inspect(sync).default_schema_name)
    assert before <= after
    names = {"alembic_version", *(table.name for table in Base.metadata.tables.values())}
    assert after - before == {(schema, name) for name in names}


LINE = {"1": None, "2": "1", "3": "2"}
BRANCHES = {"1": None, "2": "1", "3": "1", "4": "2"}
MERGED = {**BRANCHES, "5": ("3", "4")}


@pytest.mark.parametrize("history", [{}, LINE, BRANCHES, MERGED])
def test_revisions_match_alembic(tmp_path: Path, history: dict[str, Any]) -> None:
    (tmp_path / "versions").mkdir()
    for revision, parents in history.items():
        lines = (f"revision: str = {revision!r}", f"down_revision = {parents!r}", "depends_on = None")
        (tmp_path / "versions" / f"{revision}.py").write_text("\n".join(lines))
    scripts = ScriptDirectory(str(tmp_path))
    revisions = read_revisions(tmp_path / "versions")
    assert revisions.latest == set(scripts.get_heads())
    assert revisions.known == {script.revision for script in scripts.walk_revisions()}


def test_latest_revision_matches_alembic() -> None:
    assert read_revisions().latest == set(ScriptDirectory.from_config(alembic_config()).get_heads())


def test_autogenerate_without_changes_writes_no_migration() -> None:
    versions = ROOT / "alembic" / "versions"
    before = sorted(versions.glob("*.py"))
    run_alembic("upgrade", "head")
    run_alembic("revision", "--autogenerate", "-m", "nothing")
    assert sorted(versions.glob("*.py")) == before


def test_sql_is_written_without_a_database() -> None:
    output = run_alembic("upgrade", "head", "--sql").stdout
    for script in ScriptDirectory.from_config(alembic_config()).walk_revisions():
        assert script.revision in output


def test_processes_can_migrate_at_the_same_time() -> None:
    with ThreadPoolExecutor() as executor:
        list(executor.map(lambda _: run_alembic("upgrade", "head"), range(4)))


def test_migration_can_run_inside_an_event_loop() -> None:
    program = (
        "import asyncio; from alembic import command; from alembic.config import Config\n"
        "async def main(): command.upgrade(Config('alembic.ini'), 'head')\n"
        "asyncio.run(main())"
    )
    finished = run_python("-c", program)
    assert finished.returncode == 0, finished.stderr
    run_alembic("current", "--check-heads")
