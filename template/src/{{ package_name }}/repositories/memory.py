"""A repository in memory, for tests of what stands above it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Generic
from uuid import UUID

from sqlalchemy import UniqueConstraint
from uuid_utils.compat import uuid7

from ..errors import ConflictError, NotFoundError
from .base import ModelT, Position, Selection


class InMemoryRepository(Generic[ModelT]):
    """Keeps the promises of the one in the database: keys, timestamps, order and unique columns."""

    model: type[ModelT]

    def __init__(self) -> None:
        self._entities: dict[UUID, ModelT] = {}

    async def add(self, entity: ModelT) -> ModelT:
        entity.id = entity.id or uuid7()
        entity.created_at = datetime.now(UTC)
        await self.save(entity)
        self._entities[entity.id] = entity
        return entity

    async def find(self, entity_id: UUID) -> ModelT | None:
        return self._entities.get(entity_id)

    async def get(self, entity_id: UUID, *, lock: bool = False) -> ModelT:
        entity = await self.find(entity_id)
        if entity is None:
            raise NotFoundError(f"There is no {self.model.__tablename__} {entity_id}.")
        return entity

    async def list(self, selection: Selection) -> Sequence[ModelT]:
        def position(entity: ModelT) -> Position:
            return getattr(entity, selection.sort), entity.id

        def is_selected(entity: ModelT) -> bool:
            if any(getattr(entity, name) != value for name, value in selection.filters.items()):
                return False
            if selection.after is None:
                return True
            here = position(entity)
            return here < selection.after if selection.descending else here > selection.after

        selected = sorted(filter(is_selected, self._entities.values()), key=position, reverse=selection.descending)
        return selected[: selection.limit]

    async def save(self, entity: ModelT) -> ModelT:
        for constraint in self.model.__table__.constraints:  # type: ignore[attr-defined]
            if isinstance(constraint, UniqueConstraint):
                self._check_unique(entity, [column.key for column in constraint.columns])
        entity.updated_at = datetime.now(UTC)
        return entity

    async def delete(self, entity: ModelT) -> None:
        del self._entities[entity.id]

    async def count(self) -> int:
        return len(self._entities)

    def _check_unique(self, entity: ModelT, columns: Sequence[str]) -> None:
        values = [getattr(entity, column) for column in columns]
        for other in self._entities.values():
            if other is not entity and None not in values and values == [getattr(other, column) for column in columns]:
                raise ConflictError(f"This {self.model.__tablename__} contradicts one that is there.")
