"""Repositories: one interface, implemented with SQLAlchemy and in memory."""

from .base import PageRequest, Position, Repository
from .memory import InMemoryRepository
from .sqlalchemy import SQLAlchemyRepository

__all__ = ["InMemoryRepository", "PageRequest", "Position", "Repository", "SQLAlchemyRepository"]
