"""Column types."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import DateTime, Dialect, Numeric
from sqlalchemy.dialects.sqlite import DATETIME
from sqlalchemy.types import TypeDecorator, TypeEngine


class _ComparableDateTime(DATETIME):
    """Writes a time as `CURRENT_TIMESTAMP` does: without a fraction that is zero. SQLite compares times as text."""

    def bind_processor(self, dialect: Dialect) -> Any:
        return lambda value: value and value.replace(tzinfo=None).isoformat(" ")


class UTCDateTime(TypeDecorator[datetime]):
    """Time zone aware in Python, and always UTC in the database.

    SQLite returns naive values, which this type makes aware.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return _ComparableDateTime() if dialect.name == "sqlite" else self.impl_instance  # type: ignore[no-untyped-call]

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; use datetime.now(UTC) or add one")
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        # Drivers with time zones return aware values in UTC.
        return value if value is None or value.tzinfo else value.replace(tzinfo=UTC)


class PortableNumeric(TypeDecorator[Decimal]):
    """`Numeric` without the warning on SQLite, which stores a floating-point number with 15 digits."""

    impl = Numeric
    cache_ok = True

    def __init__(self, precision: int | None = None, scale: int | None = None) -> None:
        super().__init__(precision, scale)
        self.precision, self.scale = precision, scale

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return Numeric(self.precision, self.scale, asdecimal=False) if dialect.name == "sqlite" else self.impl_instance

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        return float(value) if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        if value is None or isinstance(value, Decimal):
            return value
        return Decimal(str(value) if self.scale is None else f"{value:.{self.scale}f}")
