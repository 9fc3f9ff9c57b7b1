"""Move the service's tables to the schema that its models name: move_schema PACKAGE files|database FORMER."""

from __future__ import annotations

import ast
import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateSchema, DropSchema

from _project import CONNECTION_ERRORS, INTERRUPTED, CommandError, Project, connection_error, error_summary, fail

VERSIONS = Path("alembic", "versions")
DEFAULT_SCHEMA = "public"
"""Value of FORMER for the server's default schema."""

SCHEMA_ARGUMENTS: dict[str, dict[str, tuple[str, ...]]] = {
    "op": {
        "create_foreign_key": ("source_schema", "referent_schema"),
        **dict.fromkeys(
            (
                *("create_table", "drop_table", "rename_table", "batch_alter_table", "create_table_comment"),
                *("add_column", "drop_column", "alter_column", "create_index", "drop_index", "drop_constraint"),
                *("create_unique_constraint", "create_check_constraint", "create_primary_key", "drop_table_comment"),
            ),
            ("schema",),
        ),
    },
    # The batch names the schema of its table. A foreign key can refer to another schema.
    "batch_op": {"create_foreign_key": ("referent_schema",)},
}
"""Arguments that name a schema, by object and operation of Alembic."""

LEFT = """
WITH
  former AS (SELECT * FROM pg_namespace WHERE nspname = :former),
  target AS (SELECT * FROM pg_namespace WHERE nspname = :target),
  objects AS (
    SELECT object.*
    FROM former
    JOIN pg_depend d ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = former.oid AND d.deptype = 'n'
    CROSS JOIN pg_identify_object(d.classid, d.objid, 0) object
    WHERE NOT EXISTS (
      SELECT FROM pg_depend e WHERE (e.classid, e.objid) = (d.classid, d.objid) AND (
        e.deptype = 'e' -- A member of an extension.
        OR object.type = 'sequence' AND e.deptype IN ('a', 'i') -- It moves with the table that owns it.
      )
    )
  ),
  privileges AS (
    SELECT grantee, privilege_type FROM former, aclexplode(nspacl) WHERE grantee NOT IN (0, nspowner)
    UNION
    SELECT acl.grantee, 'USAGE'
    FROM target
    JOIN pg_class c ON c.relnamespace = target.oid AND c.relname = ANY (:moved)
    CROSS JOIN aclexplode(c.relacl) acl
    EXCEPT
    SELECT grantee, privilege_type FROM target, aclexplode(coalesce(nspacl, acldefault('n', nspowner)))
  ),
  defaults AS (
    SELECT a.defaclrole, a.defaclobjtype, acl.grantee, acl.privilege_type
    FROM former JOIN pg_default_acl a ON a.defaclnamespace = former.oid CROSS JOIN aclexplode(a.defaclacl) acl
    EXCEPT
    SELECT a.defaclrole, a.defaclobjtype, acl.grantee, acl.privilege_type
    FROM target JOIN pg_default_acl a ON a.defaclnamespace = target.oid CROSS JOIN aclexplode(a.defaclacl) acl
  ),
  statements (kind, statement) AS (
    SELECT 1, format(
      'ALTER %s %s SET SCHEMA %I',
      upper(CASE type WHEN 'composite type' THEN 'type' WHEN 'statistics object' THEN 'statistics' ELSE type END),
      identity, :target
    ) FROM objects
    UNION ALL
    SELECT 2, format(
      'GRANT %s ON SCHEMA %I TO %s', string_agg(privilege_type, ', ' ORDER BY privilege_type DESC), :target,
      CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END
    ) FROM privileges GROUP BY grantee
    UNION ALL
    SELECT 3, format(
      'ALTER DEFAULT PRIVILEGES FOR ROLE %s IN SCHEMA %I GRANT %s ON %s TO %s', defaclrole::regrole, :target,
      string_agg(privilege_type, ', ' ORDER BY privilege_type),
      CASE defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' ELSE 'TYPES' END,
      CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END
    ) FROM defaults GROUP BY defaclrole, defaclobjtype, grantee
  )
SELECT statement FROM statements ORDER BY kind, statement
"""
"""SQL for the statements that give the rest of the former schema, and its privileges, to the target."""


def main(package: str, what: str, former: str) -> None:
    project = Project(package)
    if what == "files":
        rewrite_files(None if former == DEFAULT_SCHEMA else former, project.metadata.schema)
    else:
        move_tables(project, former)


def rewrite_files(former: str | None, schema: str | None) -> None:
    for path in sorted(VERSIONS.glob("*.py")):
        source = path.read_text("utf-8")
        rewritten = rewrite(source, former, schema)
        if rewritten != source:
            path.write_text(rewritten, "utf-8")
            click.echo(f"  ✅ {path.name}")
        for node in ast.walk(ast.parse(rewritten)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "execute":
                click.echo(f"  👀 {path.name}:{node.lineno}: check whether its SQL names the schema")
    formatted = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--quiet", str(VERSIONS)], capture_output=True, text=True, check=False
    )
    if formatted.returncode:
        fail(f"The migrations were rewritten, but ruff cannot format them: {' '.join(formatted.stderr.split())}")


def rewrite(source: str, former: str | None, schema: str | None) -> str:
    """Return a migration with the former schema replaced. None is the default schema."""
    starts = [0]
    for line in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    text = source.encode()
    for (row, column), (end_row, end_column), new in sorted(_changes(source, former, schema), reverse=True):
        first, last = starts[row - 1] + column, starts[end_row - 1] + end_column
        before = text[:first].rstrip()
        if not new:  # An argument is removed with the comma before it.
            first = len(before.removesuffix(b","))
        elif first == last and not before.endswith((b",", b"(")):
            new = f", {new}"
        text = text[:first] + new.encode() + text[last:]
    return text.decode()


Position = tuple[int, int]


def _changes(source: str, former: str | None, schema: str | None) -> Iterator[tuple[Position, Position, str]]:
    """Return the first position, the last position and the new text of each change."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if isinstance(node.func.value, ast.Name):
            for argument in SCHEMA_ARGUMENTS.get(node.func.value.id, {}).get(node.func.attr, ()):
                yield from _argument_change(node, argument, former, schema)
        if node.func.attr in ("ForeignKey", "ForeignKeyConstraint"):
            for target in ast.walk(node):
                if isinstance(target, ast.Constant) and isinstance(target.value, str) and "." in target.value:
                    *found, table, column = target.value.split(".")
                    if found == ([former] if former else []):
                        moved = ".".join([*([schema] if schema else []), table, column])
                        yield (*_span(target), f'"{moved}"')


def _argument_change(
    call: ast.Call, name: str, former: str | None, schema: str | None
) -> Iterator[tuple[Position, Position, str]]:
    keyword = next((keyword for keyword in call.keywords if keyword.arg == name), None)
    new = f'{name}="{schema}"' if schema else ""
    if keyword is None:
        if former is None and new:
            end = (call.end_lineno or 0, (call.end_col_offset or 0) - 1)
            yield end, end, new
    elif isinstance(keyword.value, ast.Constant) and keyword.value.value == former:
        yield (*_span(keyword), new)


def _span(node: ast.expr | ast.keyword) -> tuple[Position, Position]:
    return (node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0)


def move_tables(project: Project, former: str) -> None:
    url = project.settings.database_migration_url or project.settings.database_url
    if url.get_backend_name() != "postgresql":
        fail(
            "An SQLite file has no schemas, so there are no tables to move. Set DATABASE_URL to a PostgreSQL database."
        )

    def locked(connection: Connection) -> Result:
        with project.migration_lock(connection):
            result = move(project, connection, former)
            connection.commit()
            return result

    async def run() -> Result:
        engine = project.create_migration_engine()
        try:
            async with engine.connect() as connection:
                return await connection.run_sync(locked)
        finally:
            await engine.dispose()

    try:
        moved, left = asyncio.run(run())
    except project.errors as error:
        fail(error)
    except DBAPIError as error:
        fail(f"Nothing was moved: {error_summary(error)}")
    except CONNECTION_ERRORS as error:
        fail(connection_error(url, error))
    except KeyboardInterrupt:
        fail("Interrupted.", INTERRUPTED)
    click.echo(f"  ✅ moved {', '.join(moved)}" if moved else f"  ✅ {former} has no tables of the service")
    if left:
        click.echo("  👀 These objects and privileges were not moved. Run the lines that the service needs:")
        click.echo("\n".join(f"     {statement};" for statement in left))


Result = tuple[list[str], list[str]]
"""The names of the moved tables, and statements for objects and privileges that were not moved."""


def move(project: Project, connection: Connection, former: str) -> Result:
    """Move the service's tables in the connection's transaction.

    Raises:
        CommandError: nothing was moved; the message says why.
    """
    inspector = inspect(connection)
    target = project.metadata.schema or inspector.default_schema_name or DEFAULT_SCHEMA
    if former == target:
        return [], []
    quote = connection.dialect.identifier_preparer.quote
    ours = {project.version_table.name, *(table.name for table in project.metadata.tables.values())}
    there = set(inspector.get_table_names(target))
    found = sorted(ours & set(inspector.get_table_names(former)))
    if not found and project.version_table.name not in there:
        raise CommandError(f"Neither {former} nor {target} has tables of the service. Check the name FORMER.")
    if taken := sorted(there & set(found)):
        raise CommandError(f"Nothing was moved: {target} already has {', '.join(taken)}. Drop them if they are empty.")
    if target not in inspector.get_schema_names():
        connection.execute(CreateSchema(target))
    for name in found:
        connection.exec_driver_sql(f"ALTER TABLE {quote(former)}.{quote(name)} SET SCHEMA {quote(target)}")
    left = list(connection.scalars(text(LEFT), {"former": former, "target": target, "moved": sorted(ours)}))
    if found and former != DEFAULT_SCHEMA:
        with suppress(DBAPIError), connection.begin_nested():
            # If the schema has other tables or another owner, this fails and the schema stays.
            connection.execute(DropSchema(former))
    return found, left


if __name__ == "__main__":
    main(*sys.argv[1:])
