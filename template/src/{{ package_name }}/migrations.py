"""The migrations of this code, for the service and its scripts."""

import ast
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import column, table

from . import PROJECT_ROOT
from .models import Base

if TYPE_CHECKING:
    from alembic.config import Config

VERSIONS = PROJECT_ROOT / "alembic" / "versions"

VERSION_TABLE = table("alembic_version", column("version_num"), schema=Base.metadata.schema)
"""The table in which Alembic stores the applied revisions."""


def alembic_config() -> "Config":
    # Imported here because a process that only serves would waste several megabytes.
    from alembic.config import Config

    return Config(PROJECT_ROOT / "alembic.ini")


@dataclass(frozen=True)
class Revisions:
    """The revisions of this code."""

    latest: frozenset[str]  # the heads: more than one if branches are not merged
    known: frozenset[str]

    def is_compatible(self, applied: frozenset[str]) -> bool:
        """Return whether the code can run on a database with these revisions.

        An unknown revision comes from a newer release, which migrates while this release still runs.
        """
        return applied >= self.latest or not applied <= self.known


def read_revisions(versions: Path = VERSIONS) -> Revisions:
    """Read the revisions from the migration files, as Alembic would, without importing Alembic."""
    strings: defaultdict[str, set[str]] = defaultdict(set)  # by the name of the variable
    for path in versions.glob("*.py"):
        for statement in ast.parse(path.read_text("utf-8")).body:
            match statement:
                case ast.AnnAssign(ast.Name(name), _, ast.expr() as value) | ast.Assign([ast.Name(name)], value):
                    constants = (node.value for node in ast.walk(value) if isinstance(node, ast.Constant))
                    strings[name] |= {constant for constant in constants if isinstance(constant, str)}
    known = frozenset(strings["revision"])
    return Revisions(latest=known - strings["down_revision"], known=known)
