"""Where aggregates are kept: a `Repository` that services use, in memory or in the database."""

from .base import Repository
from .memory import InMemoryRepository
from .sqlalchemy import SQLAlchemyRepository

__all__ = ["InMemoryRepository", "Repository", "SQLAlchemyRepository"]
