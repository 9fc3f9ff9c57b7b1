"""Base class of schemas for requests."""

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, SecretStr, field_validator

UNSTORABLE = re.compile("[\0\ud800-\udfff]")
"""Characters that JSON strings may contain, but databases cannot store: NUL and unpaired surrogates."""


class RequestModel(BaseModel):
    """Base class of request bodies and query parameters.

    It refuses unknown fields, and values that databases cannot store.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _refuse_unstorable(cls, value: Any) -> Any:
        remaining = [value]
        while remaining:  # not recursive, because JSON may be nested deeply
            match remaining.pop():
                case dict() as entries:
                    remaining += [*entries, *entries.values()]
                case list() as entries:
                    remaining += entries
                case SecretStr() as secret:
                    remaining.append(secret.get_secret_value())
                case str() as text if UNSTORABLE.search(text):
                    raise ValueError("must not contain NUL or unpaired surrogates")
                case int() as number if not -(2**63) <= number < 2**63:
                    raise ValueError("must fit in 64 bits")
        return value
