"""Copy all rows from one database to another: copy_data PACKAGE SOURCE TARGET."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from hashlib import sha256
from pathlib import Path
from typing import Any

import click
from sqlalchemy import URL, Column, Connection, Table, bindparam, delete, func, insert, inspect, select, update
from sqlalchemy.exc import StatementError
from sqlalchemy.ext.asyncio import AsyncConnection

from _project import (
    CONNECTION_ERRORS,
    INTERRUPTED,
    WRONG_ARGUMENTS,
    CommandError,
    Project,
    connection_error,
    error_summary,
    fail,
)

BATCH = 1000
"""Rows that are read and written at once."""


@dataclass(slots=True)
class Digest:
    """Number and checksum of a table's rows, independent of their order."""

    rows: int = 0
    checksum: int = 0

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        self.rows += len(rows)
        for row in rows:
            text = json.dumps([canonical(value) for value in row.values()], sort_keys=True)
            self.checksum = (self.checksum + int.from_bytes(sha256(text.encode()).digest())) % 2**256


def canonical(value: Any) -> Any:
    """Convert a value to JSON. All databases that store the value exactly give the same JSON."""
    match value:
        case Enum():
            return canonical(value.value)
        case None | bool() | int() | float() | str():
            return value
        case datetime() if value.tzinfo:
            return value.astimezone(UTC).isoformat()
        case Decimal():
            return str(value.normalize())
        case bytes():
            return value.hex()
        case dict():
            return {key: canonical(item) for key, item in value.items()}
        case list() | tuple():
            return [canonical(item) for item in value]
        case _:
            return str(value)


def main(package: str, source: str, target: str) -> None:
    project = Project(package)
    source_url, target_url = parse(project, source, "SOURCE"), parse(project, target, "TARGET")
    if source_url == target_url:
        fail("SOURCE and TARGET are the same database. Name two databases.", WRONG_ARGUMENTS)
    if source_url.get_backend_name() == "sqlite" and not Path(source_url.database or "").exists():
        fail(f"SOURCE: the file {source_url.database} does not exist. Check the path.", WRONG_ARGUMENTS)
    try:
        copied = asyncio.run(copy(project, source_url, target_url))
    except project.errors as error:
        fail(error)
    except CONNECTION_ERRORS as error:
        fail(f"Nothing was copied: {error_summary(error)}")
    except KeyboardInterrupt:
        fail("Interrupted. Nothing was copied.", INTERRUPTED)
    click.echo(f"✅ {copied} rows copied and verified")


def parse(project: Project, value: str, name: str) -> URL:
    try:
        return project.parse_url(value)
    except ValueError as error:
        fail(f"{name} {error}", WRONG_ARGUMENTS)


async def copy(project: Project, source_url: URL, target_url: URL) -> int:
    """Copy the tables of all models, and return the number of rows.

    Raises:
        CommandError: nothing was copied; the message says why.
    """
    tables = project.metadata.sorted_tables
    async with connect(project, source_url) as source, connect(project, target_url) as target:
        await check(project, source, target)
        await delete_equal_rows(source, target, tables)
        return await copy_tables(source, target, tables)


@asynccontextmanager
async def connect(project: Project, url: URL) -> AsyncIterator[AsyncConnection]:
    """Open a connection in a transaction, which reads one snapshot of the database."""
    engine = project.create_engine(url)
    if url.get_backend_name() == "postgresql":
        engine = engine.execution_options(isolation_level="REPEATABLE READ")
    try:
        try:
            connection = await engine.connect()
        except CONNECTION_ERRORS as error:
            raise connection_error(url, error) from error
        try:
            async with connection.begin():
                yield connection
        finally:
            await connection.close()
    finally:
        await engine.dispose()


async def check(project: Project, source: AsyncConnection, target: AsyncConnection) -> None:
    """Check that both databases have the same migrations.

    Raises:
        CommandError: they differ.
    """
    version_table = project.version_table

    def is_migrated(connection: Connection) -> bool:
        return inspect(connection).has_table(version_table.name, version_table.schema)

    revisions: list[set[str]] = []
    for name, connection in (("source", source), ("target", target)):
        if not await connection.run_sync(is_migrated):
            raise CommandError(f"The {name} has no migrations: run `alembic upgrade head` on it first.")
        revisions.append(set(await connection.scalars(select(version_table.c.version_num))))
    if revisions[0] != revisions[1]:
        raise CommandError("Source and target have different migrations: run `alembic upgrade head` on both first.")


async def delete_equal_rows(source: AsyncConnection, target: AsyncConnection, tables: Sequence[Table]) -> None:
    """Delete the rows of the target that the source has too, such as rows that migrations inserted.

    Raises:
        CommandError: the target has a row that the source does not have.
    """
    for table in reversed(tables):
        # The time of a migration differs between the databases.
        compared = [column.key for column in table.columns if column.server_default is None and column.onupdate is None]
        keys = list(table.primary_key.columns)
        async for rows in batches(target, table):
            for row in rows:
                same_key = select(table).where(*(column == row[column.key] for column in keys))
                found = (await source.execute(same_key)).mappings().one_or_none()
                if found is None or any(canonical(found[key]) != canonical(row[key]) for key in compared):
                    raise CommandError(
                        f"TARGET has a row of {table.name} that SOURCE does not have: {describe(table, row)}. "
                        "Use an empty database."
                    )
        await target.execute(delete(table))


def describe(table: Table, row: dict[str, Any]) -> str:
    return ", ".join(f"{column.key} {row[column.key]}" for column in table.primary_key.columns)


async def copy_tables(source: AsyncConnection, target: AsyncConnection, tables: Sequence[Table]) -> int:
    """Copy tables in the given order, and compare the rows of both sides afterwards.

    Raises:
        CommandError: the rows of both sides differ.
    """
    total = 0
    for table in tables:
        count = await source.scalar(select(func.count()).select_from(table)) or 0
        with click.progressbar(length=count, label=f"  {table.name}") as bar:
            sent = await copy_table(source, target, table, bar.update)
        received = Digest()
        async for rows in batches(target, table):
            received.add(rows)
        if sent != received:
            raise CommandError(
                f"Nothing was copied: {table.name} differs between SOURCE and TARGET. {sent.rows} rows were sent, "
                f"{received.rows} arrived"
                + (", and some were changed." if sent.rows == received.rows else ".")
                + " Check the triggers of TARGET."
            )
        total += sent.rows
    return total


async def copy_table(
    source: AsyncConnection, target: AsyncConnection, table: Table, progress: Callable[[int], None]
) -> Digest:
    sent = Digest()
    # A row may refer to a later row of the same table, so these columns are filled in at the end.
    own = [column for column in table.columns if any(key.column.table is table for key in column.foreign_keys)]
    async for rows in batches(source, table):
        sent.add(rows)
        await insert_rows(target, table, [{**row, **dict.fromkeys(column.key for column in own)} for row in rows])
        progress(len(rows))
    if own:
        keys = list(table.primary_key.columns)
        # Columns that an update sets by itself, such as the time of the change, keep the copied value.
        kept = {column.key: column for column in table.columns if column.onupdate is not None}
        statement = (
            update(table)
            .where(*(column == bindparam(f"key_{column.key}") for column in keys))
            .values(kept | {column.key: bindparam(f"new_{column.key}") for column in own})
        )
        async for rows in batches(source, table):
            await target.execute(statement, [references(row, keys, own) for row in rows])
    if sent.rows and target.dialect.name == "postgresql" and table.autoincrement_column is not None:
        column = table.autoincrement_column
        sequence = func.pg_get_serial_sequence(str(table), column.name)
        await target.execute(select(func.setval(sequence, select(func.max(column)).scalar_subquery())))
    return sent


async def insert_rows(target: AsyncConnection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert the rows.

    Raises:
        CommandError: the target refuses a row, which the message names.
    """
    try:
        async with target.begin_nested():
            await target.execute(insert(table), rows)
    except StatementError as error:
        if len(rows) > 1:
            for row in rows:
                await insert_rows(target, table, [row])
        raise CommandError(
            f"Nothing was copied: TARGET refuses the row {describe(table, rows[0])} of {table.name}: "
            f"{error.orig}. Correct the row in SOURCE."
        ) from error


def references(row: dict[str, Any], keys: list[Column[Any]], own: list[Column[Any]]) -> dict[str, Any]:
    named = [(f"key_{column.key}", column) for column in keys] + [(f"new_{column.key}", column) for column in own]
    return {name: row[column.key] for name, column in named}


async def batches(connection: AsyncConnection, table: Table) -> AsyncIterator[list[dict[str, Any]]]:
    result = await connection.stream(select(table), execution_options={"yield_per": BATCH})
    async for rows in result.mappings().partitions():
        yield [dict(row) for row in rows]


if __name__ == "__main__":
    main(*sys.argv[1:])
