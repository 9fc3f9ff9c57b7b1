"""Tests of PostgreSQL connections: server settings, pings, warnings, passwords and column types."""

from types import SimpleNamespace
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest
from pydantic import SecretStr
from sqlalchemy import MetaData, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import Mapped, mapped_column
from structlog.testing import capture_logs
from support.database import make_settings

from my_service.backends import backend_for, postgresql
from my_service.config import Settings
from my_service.database import Database
from my_service.database_url import parse_database_url
from my_service.models import Base
from my_service.models.postgresql_types import JSONDocument, UUIDArray


@pytest.fixture
def one_connection(settings: Settings) -> Settings:
    if settings.database_url.get_backend_name() != "postgresql":
        pytest.skip("This test needs PostgreSQL. Unset TEST_DATABASE_URL.")
    return settings.model_copy(
        update={
            "database_pool_size": 1,
            "database_max_overflow": 0,
            "database_statement_timeout": 0.5,
            "project_name": "limits",
        }
    )


async def test_connections_have_a_name_and_timeouts(one_connection: Settings) -> None:
    database = Database(one_connection)
    async with database.session() as session:
        shown = [
            await session.scalar(text(f"SHOW {name}"))
            for name in ("application_name", "statement_timeout", "idle_in_transaction_session_timeout")
        ]
    assert shown == ["limits", "500ms", "1min"]
    await database.dispose()


@pytest.mark.parametrize(("idle", "answers", "replaced"), [(2, False, True), (2, True, False), (0.5, False, False)])
async def test_idle_connection_is_replaced_if_its_ping_fails(
    one_connection: Settings, monkeypatch: pytest.MonkeyPatch, idle: float, answers: bool, replaced: bool
) -> None:
    execute = asyncpg.Connection.execute

    async def ping(connection: Any, *arguments: Any, **options: Any) -> Any:
        if options.get("timeout") == postgresql.PING_TIMEOUT and not answers:
            raise ConnectionResetError
        return await execute(connection, *arguments, **options)

    now = 1000.0
    monkeypatch.setattr(postgresql, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(asyncpg.Connection, "execute", ping)
    database = Database(one_connection)
    pids = []
    for _ in range(2):
        async with database.session() as session:
            pids.append(await session.scalar(text("SELECT pg_backend_pid()")))
        now += idle
    assert (pids[0] != pids[1]) is replaced
    await database.dispose()


async def test_too_many_planned_connections_are_logged(one_connection: Settings) -> None:
    database = Database(one_connection.model_copy(update={"instances": 1000}))
    with capture_logs() as lines:
        await database.connect()
    warning = next(line for line in lines if line["event"] == "connection_limit_too_low")
    assert (warning["connections"], warning["connections_per_instance"]) == (2000, 2)
    await database.dispose()
    database = Database(one_connection)
    with capture_logs() as lines:
        await database.connect()
    assert lines == []
    await database.dispose()


@pytest.mark.parametrize("name", ["database_url", "database_migration_url"])
def test_database_password_is_added_to_the_migration_url(name: str) -> None:
    url = parse_database_url("postgresql://user@host/name")
    changes = {name: url, "database_password": SecretStr("p@ss word")}
    settings = make_settings(url).model_copy(update=changes)
    assert backend_for(url).create_migration_engine(settings).url.password == "p@ss word"


class Column(Base):
    metadata = MetaData(schema=Base.metadata.schema)

    parts: Mapped[list[object] | None] = mapped_column(UUIDArray)
    plan: Mapped[dict[str, object] | None] = mapped_column(JSONDocument)


async def test_columns_have_native_types(connection: AsyncConnection) -> None:
    await connection.run_sync(Column.metadata.create_all)
    columns = await connection.run_sync(lambda sync: inspect(sync).get_columns("column", schema=Base.metadata.schema))
    types = {column["name"]: column["type"].compile(connection.dialect) for column in columns}
    native = connection.dialect.name == "postgresql"
    assert (types["parts"], types["plan"]) == (("UUID[]", "JSONB") if native else ("JSON", "JSON"))
