"""Base class of schemas for requests."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from math import isfinite
from typing import Any

from pydantic import BaseModel, ConfigDict, SecretStr, field_validator

UNSTORABLE = re.compile("[\0\ud800-\udfff]")
"""Characters that JSON strings may contain, but databases cannot store: NUL and unpaired surrogates."""

MAX_DEPTH = 100
"""Levels of a JSON value. A response cannot contain many more."""


class RequestModel(BaseModel):
    """Base class of request bodies and query parameters.

    It refuses unknown fields, and values that databases cannot store. It converts times to UTC.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _refuse_unstorable(cls, value: Any) -> Any:
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ValueError("must fit in 64 bits")
        level = [value]
        for _ in range(MAX_DEPTH):
            level = [part for whole in level for part in _parts(whole)]
            if not level:
                return _in_utc(value) if isinstance(value, datetime) and value.tzinfo is not None else value
        raise ValueError(f"must have at most {MAX_DEPTH} levels")


def _parts(value: Any) -> Iterable[Any]:
    """Return the values in a collection. Check a value that has none."""
    match value:
        case dict():
            return [*value, *value.values()]
        case list():
            return value
        case BaseModel():
            return vars(value).values()
        case SecretStr():
            return [value.get_secret_value()]
        case str() if UNSTORABLE.search(value):
            raise ValueError("must not contain NUL or unpaired surrogates")
        case float() | Decimal() if not isfinite(value):
            raise ValueError("must be a finite number")
    return ()


def _in_utc(time: datetime) -> datetime:
    """Return the time as databases return it, so that the response of a POST is that of a later GET."""
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be in UTC between the years 1 and 9999") from None
