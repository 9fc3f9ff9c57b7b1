"""The interface of repositories."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar
from uuid import UUID

from ..models import Base

ModelT = TypeVar("ModelT", bound=Base)

Position = tuple[Any, UUID]
"""The position of an entity in a sorted list: the value that it is sorted by, and its key."""


@dataclass(frozen=True)
class PageRequest:
    """Request for one page of a sorted and filtered list."""

    limit: int
    sort: str = "id"  # an attribute that is never None; entities with equal values are sorted by id
    descending: bool = False
    after: Position | None = None  # position of the last entity of the previous page
    filters: Mapping[str, object] = field(default_factory=dict)  # attributes and their required values


class Repository(Protocol[ModelT]):
    async def add(self, entity: ModelT) -> ModelT:
        """Store a new entity, and fill in its generated columns.

        Raises:
            ConflictError: the entity violates a constraint, such as a unique name.
        """

    async def find(self, entity_id: UUID) -> ModelT | None: ...

    async def get(self, entity_id: UUID, *, lock: bool = False) -> ModelT:
        """Return the entity with this key.

        Args:
            lock: lock the row until the end of the transaction.

        Raises:
            NotFoundError: it does not exist.
        """

    async def list(self, page: PageRequest) -> Sequence[ModelT]: ...

    async def save(self, entity: ModelT) -> ModelT:
        """Store the changes of an entity.

        Raises:
            ConflictError: they violate a constraint.
        """

    async def delete(self, entity: ModelT) -> None: ...

    async def count(self) -> int: ...
