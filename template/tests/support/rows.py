"""Rows for tables that only migrations know, so that migrations are tested with rows in the tables."""

import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Column, Connection, MetaData, Table, func, insert, inspect, select
from sqlalchemy.exc import DBAPIError

VALUES: dict[str, dict[str, Any]] = {}
"""Values by table and column, for columns that refuse the generated ones: `{"order": {"total": 1}}`."""

BY_TYPE: dict[type, Any] = {
    bool: True,
    bytes: b"1",
    date: date(2026, 1, 1),
    datetime: datetime(2026, 1, 1, tzinfo=UTC),
    Decimal: Decimal(1),
    float: 1.0,
    int: 1,
    list: [],
    object: {},  # JSON
    str: "1",
    time: time(1),
    timedelta: timedelta(1),
}


def insert_rows(connection: Connection, schema: str | None) -> None:
    """Insert a row into each empty table. Columns that may be NULL or have a default get no value."""
    metadata = MetaData(schema=schema)
    metadata.reflect(connection)
    for table in metadata.sorted_tables:
        if table.name == "alembic_version" or connection.scalar(select(func.count()).select_from(table)):
            continue
        required = [column for column in table.columns if not column.nullable and column.server_default is None]
        values = {column.name: _value(connection, table, column) for column in required}
        try:
            connection.execute(insert(table).values(values | VALUES.get(table.name, {})))
        except DBAPIError as error:
            raise AssertionError(f"Add values for {table.name} to VALUES in {__file__}: {error.orig}") from error


def _value(connection: Connection, table: Table, column: Column[Any]) -> Any:
    for key in column.foreign_keys:
        return connection.scalar(select(key.column).limit(1))
    for check in inspect(connection).get_check_constraints(table.name, table.schema):
        literal = re.search(rf"\b{column.name}\b.*?'((?:[^']|'')*)'", check["sqltext"])
        if literal:
            return literal[1].replace("''", "'")
    if column.type.python_type is UUID:
        return uuid4()
    return BY_TYPE[column.type.python_type]
