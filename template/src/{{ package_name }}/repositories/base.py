"""The interface of repositories."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar
from uuid import UUID

from ..errors import PreconditionFailedError
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
            ConflictError: the entity conflicts with another one, for example because both have the same unique name.
            InvalidValueError: it refers to an entity that does not exist.
        """

    async def find(self, entity_id: UUID) -> ModelT | None: ...

    async def get(self, entity_id: UUID, *, lock: bool = False, versions: Collection[str] | None = None) -> ModelT:
        """Return the entity with this key.

        Args:
            lock: lock the row until the end of the transaction.
            versions: versions that a `Versioned` entity may have; None accepts any.

        Raises:
            NotFoundError: it does not exist.
            PreconditionFailedError: it has another version.
        """

    async def list(self, page: PageRequest) -> Sequence[ModelT]: ...

    async def save(self, entity: ModelT) -> ModelT:
        """Store the changes of an entity.

        Raises:
            ConflictError: they conflict with another entity, or somebody else has changed this one.
            InvalidValueError: the changes refer to an entity that does not exist.
        """

    async def delete(self, entity: ModelT) -> None:
        """Delete an entity.

        Raises:
            ConflictError: other entities refer to it.
        """

    async def count(self) -> int: ...

    def after_commit(self, action: Callable[[], object]) -> None:
        """Call a function after the changes are committed, and never if they are rolled back."""


def check_version(entity: Base, versions: Collection[str] | None) -> None:
    """Raise PreconditionFailedError if the version of an entity is not one of these."""
    if versions is not None and str(entity.version) not in versions:  # type: ignore[attr-defined]
        raise PreconditionFailedError(
            f"`If-Match` is not the current `ETag` of the {type(entity).__name__}. Read it again."
        )
