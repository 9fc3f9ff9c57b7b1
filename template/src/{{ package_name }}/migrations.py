"""Where the migrations are, for the service and its scripts."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import column, table

from . import PROJECT_ROOT
from .models import Base

if TYPE_CHECKING:
    from pathlib import Path

    from alembic.config import Config

VERSIONS = PROJECT_ROOT / "alembic" / "versions"

VERSION_TABLE = table("alembic_version", column("version_num"), schema=Base.metadata.schema)
"""Where Alembic keeps which migrations were applied."""


def alembic_config() -> Config:
    # Imported by those who migrate: a process that serves would keep several megabytes for nothing.
    from alembic.config import Config

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


def read_revisions(versions: Path = VERSIONS) -> Revisions:
    """The revisions that the files of the migrations name: what Alembic would say, without Alembic."""
    migrations = [_read_constants(path) for path in versions.glob("*.py")]
    known = frozenset(migration["revision"] for migration in migrations)
    followed: set[str] = set()
    for migration in migrations:
        parents = migration["down_revision"] or ()
        followed.update((parents,) if isinstance(parents, str) else parents)
    return Revisions(latest=known - followed, known=known)


def _read_constants(path: Path) -> dict[str, Any]:
    return {
        target.id: ast.literal_eval(node.value)
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.AnnAssign | ast.Assign) and isinstance(node.value, ast.Constant | ast.Tuple | ast.List)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
