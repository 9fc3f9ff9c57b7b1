"""Cursor pagination for lists."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel

from ..models import Base
from ..repositories import PageRequest, Position
from ..schemas.page import Page, PageQuery

SchemaT = TypeVar("SchemaT", bound=BaseModel)


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
        RequestValidationError: `after` is not a cursor of this order.
    """
    column = sort.removeprefix("-")
    return PageRequest(
        limit=limit + 1,
        sort=column,
        descending=sort.startswith("-"),
        after=_decode_cursor(after, sort, columns[column]) if after is not None else None,
        filters={name: value for name, value in filters.items() if value is not None},
    )


def build_page(
    schema: type[SchemaT], entities: Sequence[Base], query: PageQuery, request: Request, response: Response
) -> Page[SchemaT]:
    """Return the page that `page_request` asked for, and set the `Link` header if another page follows.

    Args:
        schema: the schema of the entities in the response.
        entities: the entities of the page, and the first one of the next page.
    """
    page = entities[: query.limit]
    return Page(
        items=[schema.model_validate(entity) for entity in page],
        next=next_cursor(request, response, page[-1], query.sort) if len(entities) > query.limit else None,
    )


def next_cursor(request: Request, response: Response, last: Base, sort: str) -> str:
    """Return the cursor of the next page, and set the `Link` header (RFC 8288)."""
    cursor = _encode_cursor(sort, (getattr(last, sort.removeprefix("-")), last.id))
    others = [(name, value) for name, value in request.query_params.multi_items() if name != "after"]
    response.headers["Link"] = f'<{request.url.path}?{urlencode([*others, ("after", cursor)])}>; rel="next"'
    return cursor


def _encode_cursor(sort: str, position: Position) -> str:
    return urlsafe_b64encode(json.dumps([sort, *map(str, position)]).encode()).decode().rstrip("=")


def _decode_cursor(cursor: str, sort: str, parse: Callable[[str], Any]) -> Position:
    with suppress(ValueError, TypeError, AttributeError, ArithmeticError, RecursionError):
        order, value, key = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        value.encode()  # fails for unpaired surrogates
        if order == sort and "\0" not in value:
            return parse(value), UUID(key)
    reason = "The cursor does not exist. Use the `next` of a page with the same `sort`."
    raise RequestValidationError([{"loc": ("query", "after"), "msg": reason, "type": "value_error", "input": cursor}])
