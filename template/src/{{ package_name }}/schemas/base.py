"""Base class of schemas for requests."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from math import isfinite
from typing import Any

from pydantic import BaseModel, ConfigDict, SecretStr, field_validator

MAX_DEPTH = 100
"""Levels of a JSON value. Values with more than about 250 levels cannot be sent in a response."""


class RequestModel(BaseModel):
    """Base class of request bodies and query parameters.

    It refuses unknown fields, and values that databases cannot store.
    """

    model_config = ConfigDict(extra="forbid")

    @field_validator("*")
    @classmethod
    def _refuse_unstorable(cls, value: Any) -> Any:
        level = [value]
        for _ in range(MAX_DEPTH):
            level = [part for whole in level for part in _parts(whole)]
            if not level:
                return value
        raise ValueError(f"must have at most {MAX_DEPTH} levels")


def _parts(value: Any) -> Iterable[Any]:
    """Return the members of a collection. Check a value that has none."""
    match value:
        case SecretStr():
            return [value.get_secret_value()]
        case BaseModel():
            return vars(value).values()
        case Mapping():
            return [*value.keys(), *value.values()]
        case list() | tuple() | set() | frozenset():
            return value
        case _:
            _check(value)
            return ()


def _check(value: object) -> None:
    if isinstance(value, str) and ("\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value)):
        raise ValueError("must not contain NUL or unpaired surrogates")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("must fit in 64 bits")
    if isinstance(value, float | Decimal) and not isfinite(value):
        raise ValueError("must be a finite number")
    if isinstance(value, datetime) and value.tzinfo is not None:
        try:
            value.astimezone(UTC)
        except OverflowError:
            raise ValueError("must be a date in UTC between the years 1 and 9999") from None
