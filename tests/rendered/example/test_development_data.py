"""Load the development data into a database with rows."""

from processes import run_python
from sqlalchemy import make_url
from support.database import make_settings

from my_service.database import Database
from my_service.development_data import rows
from my_service.models import Item


async def test_conflicting_row_is_explained(empty_database: str) -> None:
    assert run_python("scripts/init_db.py").returncode == 0
    database = Database(make_settings(make_url(empty_database)))
    async with database.session() as session:
        session.add(Item(name=next(row.name for row in rows() if isinstance(row, Item))))
    await database.dispose()
    refused = run_python("scripts/init_db.py", "--seed")
    assert refused.returncode == 1
    assert "Cannot load development_data.py (" in refused.stderr
    assert "Traceback" not in refused.stderr
