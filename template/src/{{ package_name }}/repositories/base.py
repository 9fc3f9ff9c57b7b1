"""What services ask of a repository."""

from collections.abc import Sequence
from typing import Protocol, TypeVar
from uuid import UUID

from ..models import Base

ModelT = TypeVar("ModelT", bound=Base)


class Repository(Protocol[ModelT]):
    async def add(self, entity: ModelT) -> ModelT:
        """Keep a new entity, its generated columns filled in.

        Raises:
            ConflictError: it breaks a constraint, such as a name that must be unique.
        """

    async def get(self, entity_id: UUID) -> ModelT:
        """Raises NotFoundError where there is none."""

    async def list(self, *, limit: int, after: UUID | None = None) -> Sequence[ModelT]:
        """The entities in the order of their keys, which is that of their creation.

        Args:
            limit: how many at most.
            after: the last key of the page before.
        """

    async def save(self, entity: ModelT) -> ModelT:
        """Keep the changes made to an entity.

        Raises:
            ConflictError: they break a constraint.
        """

    async def delete(self, entity: ModelT) -> None: ...

    async def count(self) -> int: ...
