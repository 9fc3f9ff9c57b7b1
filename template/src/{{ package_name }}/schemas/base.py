"""Base class of schemas for requests."""

from collections.abc import Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from pydantic import BaseModel, ConfigDict, SecretStr, field_validator


class RequestModel(BaseModel):
    """Base class of request bodies and query parameters.

    It refuses unknown fields, and values that databases cannot store. It converts times to UTC.
    """

    model_config = ConfigDict(extra="forbid")

    @field_validator("*")
    @classmethod
    def _refuse_unstorable(cls, value: Any) -> Any:
        remaining = [value]
        while remaining:  # a loop, because recursion has a limit
            match remaining.pop():
                case SecretStr() as secret:
                    remaining.append(secret.get_secret_value())
                case Mapping() as mapping:
                    remaining += [*mapping.keys(), *mapping.values()]
                case list() | tuple() | set() | frozenset() as items:
                    remaining += items
                case leaf:
                    _check(leaf)
        # Databases return times in UTC. The response of a POST must have the same time as that of a later GET.
        return value.astimezone(UTC) if isinstance(value, datetime) and value.tzinfo is not None else value


def _check(value: object) -> None:
    if isinstance(value, str) and ("\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value)):
        raise ValueError("must not contain NUL or unpaired surrogates")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("must fit in 64 bits")
    if isinstance(value, float) and not isfinite(value):
        raise ValueError("must be a finite number")
    if isinstance(value, datetime) and value.tzinfo is not None:
        try:
            value.astimezone(UTC)
        except OverflowError:
            raise ValueError("must be a date in UTC between the years 1 and 9999") from None
