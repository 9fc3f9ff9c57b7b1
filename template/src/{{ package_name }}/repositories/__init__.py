"""Repositories: one interface, implemented with SQLAlchemy and in memory."""

from .base import ModelT, PageRequest, Position, Repository
from .memory import InMemoryRepository
from .sqlalchemy import SQLAlchemyRepository

__all__ = ["InMemoryRepository", "ModelT", "PageRequest", "Position", "Repository", "SQLAlchemyRepository"]
