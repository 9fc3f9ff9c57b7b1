"""Where the migrations are, for the service and its scripts."""

from dataclasses import dataclass

from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import column, table

from . import PROJECT_ROOT
from .models import Base

VERSION_TABLE = table("alembic_version", column("version_num"), schema=Base.metadata.schema)
"""Where Alembic keeps which migrations were applied."""


def alembic_config() -> Config:
    return Config(PROJECT_ROOT / "alembic.ini")


@dataclass(frozen=True)
class Revisions:
    """The migrations that come with the code.

    Args:
        latest: those that it was written for: one, but for branches.
        known: all that lead there, too.
    """

    latest: frozenset[str]
    known: frozenset[str]

    def are_met_by(self, applied: frozenset[str]) -> bool:
        """Whether the code can run on a database with these applied.

        One that the code does not know is newer than it: a release that rolls out migrates first, and
        the code before it still has to serve until it is replaced.
        """
        return applied >= self.latest or not applied <= self.known


def read_revisions() -> Revisions:
    scripts = ScriptDirectory.from_config(alembic_config())
    known = frozenset(script.revision for script in scripts.walk_revisions())
    return Revisions(latest=frozenset(scripts.get_heads()), known=known)
