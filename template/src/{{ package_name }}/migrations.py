"""Where the migrations are, for the service and its scripts."""

from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import column, table

from . import PROJECT_ROOT
from .models import Base

VERSION_TABLE = table("alembic_version", column("version_num"), schema=Base.metadata.schema)
"""Where Alembic keeps which migrations were applied."""


def alembic_config() -> Config:
    return Config(PROJECT_ROOT / "alembic.ini")


def latest_revisions() -> frozenset[str]:
    """The revisions that the code was written for: one, but for branches."""
    return frozenset(ScriptDirectory.from_config(alembic_config()).get_heads())
