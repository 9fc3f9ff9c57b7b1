"""Tests of the SQLite backend."""

from pathlib import Path

from sqlalchemy import make_url
from support.database import make_settings

from my_service.backends import backend_for


async def test_sqlite_enforces_foreign_keys(tmp_path: Path) -> None:
    settings = make_settings(make_url(f"sqlite+aiosqlite:///{tmp_path}/test.db"))
    engine = backend_for(settings.database_url).create_engine(settings)
    async with engine.connect() as connection:
        enforced = (await connection.exec_driver_sql("PRAGMA foreign_keys")).scalar()
    await engine.dispose()
    assert enforced == 1
