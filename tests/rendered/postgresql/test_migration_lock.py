"""Test of the advisory lock of migrations."""

from contextlib import ExitStack

import pytest
from processes import run_alembic
from sqlalchemy import Connection

from my_service.backends import backend_for, postgresql
from my_service.config import Settings
from my_service.errors import OperatorError


async def test_migration_waits_while_another_process_migrates(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    if settings.database_url.get_backend_name() != "postgresql":
        pytest.skip("This test needs PostgreSQL. Unset TEST_DATABASE_URL.")
    monkeypatch.setattr(postgresql, "ADVISORY_LOCK_TIMEOUT", 0)
    backend = backend_for(settings.database_url)
    engine = backend.create_migration_engine(settings)
    locks = ExitStack()

    def lock(connection: Connection) -> None:
        locks.enter_context(backend.migration_lock(connection, settings))

    async with engine.connect() as first, engine.connect() as second:
        await first.run_sync(lock)
        with pytest.raises(OperatorError, match="Another process"):
            await second.run_sync(lock)
        await first.run_sync(lambda _: locks.close())
        await second.run_sync(lock)
        await second.run_sync(lambda _: locks.close())
    await engine.dispose()


async def test_commands_that_read_do_not_wait_for_the_lock(empty_database: str, empty_settings: Settings) -> None:
    backend = backend_for(empty_settings.database_url)
    engine = backend.create_migration_engine(empty_settings)

    def read(connection: Connection) -> None:
        with backend.migration_lock(connection, empty_settings):
            run_alembic("current")

    async with engine.connect() as connection:
        await connection.run_sync(read)
    await engine.dispose()
