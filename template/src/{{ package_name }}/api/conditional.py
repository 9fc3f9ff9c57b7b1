"""Conditional requests: optimistic concurrency with `ETag` and `If-Match` (RFC 9110, section 13)."""

from typing import Annotated

from fastapi import Depends, Header, Response
from pydantic.json_schema import SkipJsonSchema

from ..models import Base

EXAMPLE_ETAG = '"9f86d081884c7d659a2feaa0c55ad015"'
IfNoneMatchHeader = Annotated[
    str | SkipJsonSchema[None], Header(description="The `ETag` that the client has", examples=[EXAMPLE_ETAG])
]


def set_etag(response: Response, entity: Base) -> str:
    """Set the `ETag` header to the version of the entity, and return it."""
    etag = response.headers["ETag"] = f'"{entity.version()}"'
    return etag


async def get_expected_version(
    if_match: Annotated[
        str | SkipJsonSchema[None],
        Header(description="The `ETag` of the version to change, or `*` for any version", examples=["*"]),
    ] = None,
) -> str | None:
    if if_match is None or if_match == "*":
        return None
    return if_match.strip().removeprefix("W/").strip('"')


ExpectedVersionDep = Annotated[str | None, Depends(get_expected_version)]
