"""Conditional requests: optimistic concurrency with `ETag` and `If-Match` (RFC 9110, section 13)."""

import re
from typing import Annotated, Protocol

from fastapi import Depends, Header, Response
from pydantic.json_schema import SkipJsonSchema

EXAMPLE_ETAG = '"3"'
ETAG = re.compile(r'(?:^|,)\s*(?P<weak>W/)?"(?P<version>[^"]*)"(?=\s*(?:,|$))')

IfNoneMatchHeader = Annotated[
    list[str] | SkipJsonSchema[None],
    Header(description="ETags that the client has, or `*` for any", examples=[[EXAMPLE_ETAG]]),
]


class HasVersion(Protocol):
    @property
    def version(self) -> int: ...


def set_etag(response: Response, entity: HasVersion) -> str:
    """Set the `ETag` header to the version of the entity, and return it."""
    etag = response.headers["ETag"] = f'"{entity.version}"'
    return etag


def is_current(if_none_match: list[str] | None, entity: HasVersion) -> bool:
    """Return whether the client has this version. `If-None-Match` compares weakly: `W/"3"` is equal to `"3"`."""
    if if_none_match is None:
        return False
    known = {etag["version"] for line in if_none_match for etag in ETAG.finditer(line)}
    return "*" in map(str.strip, if_none_match) or str(entity.version) in known


async def get_expected_versions(
    if_match: Annotated[
        list[str] | SkipJsonSchema[None],
        Header(description="ETags of the versions that may be changed, or `*` for any", examples=[["*"]]),
    ] = None,
) -> frozenset[str] | None:
    """Return the versions in `If-Match`, or None for any. It compares strongly: weak ETags are never equal."""
    if if_match is None or "*" in map(str.strip, if_match):
        return None
    return frozenset(etag["version"] for line in if_match for etag in ETAG.finditer(line) if not etag["weak"])


ExpectedVersionsDep = Annotated[frozenset[str] | None, Depends(get_expected_versions)]
