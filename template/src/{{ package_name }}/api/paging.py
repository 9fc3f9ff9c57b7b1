"""Cursor pagination for lists."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Request, Response
from pydantic.json_schema import SkipJsonSchema

from ..errors import NotFoundError
from ..models import Base
from ..repositories import PageRequest, Position
from ..schemas.page import EXAMPLE_CURSOR

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 200

AfterQuery = Annotated[
    str | SkipJsonSchema[None], Query(description="The `next` of the previous page", examples=[EXAMPLE_CURSOR])
]


def page_request(
    sort: str, columns: Mapping[str, Callable[[str], Any]], *, limit: int, after: str | None, **filters: object
) -> PageRequest:
    """Return the request for a page. It asks for one entity more, to know whether another page follows.

    Args:
        sort: the name of a column, with a leading minus for descending order.
        columns: the columns that can be sorted by, each with the function that parses its value in a cursor.
        after: the `next` of the previous page.
        filters: columns and the values that they must have; None is no filter.

    Raises:
        NotFoundError: `after` is not a cursor of this order.
    """
    column = sort.removeprefix("-")
    return PageRequest(
        limit=limit + 1,
        sort=column,
        descending=sort.startswith("-"),
        after=_decode_cursor(after, sort, columns[column]) if after is not None else None,
        filters={name: value for name, value in filters.items() if value is not None},
    )


def next_cursor(request: Request, response: Response, last: Base, sort: str) -> str:
    """Return the cursor of the next page, and set the `Link` header (RFC 8288)."""
    cursor = _encode_cursor(sort, (getattr(last, sort.removeprefix("-")), last.id))
    response.headers["Link"] = f'<{request.url.include_query_params(after=cursor)}>; rel="next"'
    return cursor


def _encode_cursor(sort: str, position: Position) -> str:
    return urlsafe_b64encode(json.dumps([sort, *map(str, position)]).encode()).decode().rstrip("=")


def _decode_cursor(cursor: str, sort: str, parse: Callable[[str], Any]) -> Position:
    with suppress(ValueError, TypeError, AttributeError):
        order, value, key = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if order == sort:
            return parse(value), UUID(key)
    raise NotFoundError("The cursor `after` does not exist. Use the `next` of a page with the same `sort`.")
