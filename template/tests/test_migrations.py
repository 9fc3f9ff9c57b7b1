"""Migrations, whichever there are: up, down, up again, and the same as the models."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, inspect
from sqlalchemy.ext.asyncio import AsyncEngine

ROOT = Path(__file__).parents[1]


def alembic(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )


def migrations() -> Config:
    return Config(ROOT / "alembic.ini")


def tables(connection: Connection) -> set[tuple[str | None, str]]:
    inspector = inspect(connection)
    return {
        (schema, table)
        for schema in inspector.get_schema_names()
        if schema != "information_schema"
        for table in inspector.get_table_names(schema)
    }


async def test_each_migration_goes_up_and_down_and_up(empty_engine: AsyncEngine) -> None:
    def stairs(connection: Connection) -> None:
        config = migrations()
        config.attributes["connection"] = connection
        for script in reversed(list(ScriptDirectory.from_config(config).walk_revisions())):
            command.upgrade(config, script.revision)
            command.downgrade(config, "-1")
            command.upgrade(config, script.revision)
        command.check(config)

    async with empty_engine.begin() as connection:
        await connection.run_sync(stairs)


async def test_downgrading_to_the_base_leaves_nothing(empty_database: str, empty_engine: AsyncEngine) -> None:
    def schemas_and_tables(connection: Connection) -> tuple[set[str], set[tuple[str | None, str]]]:
        return set(inspect(connection).get_schema_names()), tables(connection)

    if not ScriptDirectory.from_config(migrations()).get_heads():
        pytest.skip("there is no migration yet that could be taken back")
    async with empty_engine.connect() as connection:
        before = await connection.run_sync(schemas_and_tables)
    for arguments in (["upgrade", "head"], ["downgrade", "base"]):
        finished = alembic(empty_database, *arguments)
        assert finished.returncode == 0, finished.stderr
    async with empty_engine.connect() as connection:
        assert await connection.run_sync(schemas_and_tables) == before


async def test_the_command_line_migrates_and_finds_no_drift(empty_database: str) -> None:
    for arguments in (["upgrade", "head"], ["check"], ["current", "--check-heads"]):
        finished = alembic(empty_database, *arguments)
        assert finished.returncode == 0, finished.stderr


async def test_tables_are_where_they_belong_and_others_are_left_alone(
    empty_database: str, empty_engine: AsyncEngine, metadata: MetaData
) -> None:
    async with empty_engine.begin() as connection:
        if connection.dialect.name != "sqlite" or metadata.schema is None:
            await connection.exec_driver_sql("CREATE TABLE theirs (id integer)")
        before = await connection.run_sync(tables)
    for arguments in (["upgrade", "head"], ["check"]):
        finished = alembic(empty_database, *arguments)
        assert finished.returncode == 0, finished.stderr
    async with empty_engine.connect() as connection:
        made = await connection.run_sync(tables) - before
        home = metadata.schema or await connection.run_sync(lambda sync: inspect(sync).default_schema_name)
        assert before <= await connection.run_sync(tables)
    names = {"alembic_version", *(table.name for table in metadata.tables.values())}
    assert made == {(home, name) for name in names}


async def test_an_unchanged_model_needs_no_migration(empty_database: str) -> None:
    versions = ROOT / "alembic" / "versions"
    before = sorted(versions.glob("*.py"))
    assert alembic(empty_database, "upgrade", "head").returncode == 0
    finished = alembic(empty_database, "revision", "--autogenerate", "-m", "nothing")
    assert finished.returncode == 0, finished.stderr
    assert sorted(versions.glob("*.py")) == before


def test_sql_can_be_written_without_a_database(empty_database: str) -> None:
    finished = alembic(empty_database, "upgrade", "head", "--sql")
    assert finished.returncode == 0, finished.stderr
    for script in ScriptDirectory.from_config(migrations()).walk_revisions():
        assert script.revision in finished.stdout


async def test_processes_that_migrate_at_once_all_succeed(empty_database: str) -> None:
    with ThreadPoolExecutor() as executor:
        runs = list(executor.map(lambda _: alembic(empty_database, "upgrade", "head"), range(4)))
    assert [run.returncode for run in runs] == [0] * 4, [run.stderr for run in runs]


def test_a_running_event_loop_is_no_obstacle(empty_database: str) -> None:
    program = (
        "import asyncio; from alembic import command; from alembic.config import Config\n"
        "async def main(): command.upgrade(Config('alembic.ini'), 'head')\n"
        "asyncio.run(main())"
    )
    environment = {**os.environ, "DATABASE_URL": empty_database}
    finished = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert alembic(empty_database, "current", "--check-heads").returncode == 0
