"""Repository in memory, for tests of services."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Generic
from uuid import UUID

from sqlalchemy import UniqueConstraint
from uuid_utils.compat import uuid7

from ..errors import ConflictError, NotFoundError
from .base import ModelT, PageRequest, Position


class InMemoryRepository(Generic[ModelT]):
    """Behaves like the SQLAlchemy one: keys, timestamps, order and unique columns."""

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
            raise NotFoundError(f"{self.model.__name__} {entity_id} does not exist.")
        return entity

    async def list(self, page: PageRequest) -> Sequence[ModelT]:
        def position(entity: ModelT) -> Position:
            return getattr(entity, page.sort), entity.id

        def is_selected(entity: ModelT) -> bool:
            if any(getattr(entity, name) != value for name, value in page.filters.items()):
                return False
            if page.after is None:
                return True
            here = position(entity)
            return here < page.after if page.descending else here > page.after

        selected = sorted(filter(is_selected, self._entities.values()), key=position, reverse=page.descending)
        return selected[: page.limit]

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
                raise ConflictError(f"Another {self.model.__name__} has the same {' and '.join(columns)}.")
