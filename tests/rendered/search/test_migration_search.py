"""Search for changes of models whose migrations fail."""

from __future__ import annotations

import asyncio
import os
import random
from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from alembic import command
from alembic.config import Config
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from my_service.backends import backend_for
from my_service.models import Base
from sqlalchemy import URL
from support.database import make_settings, migration_config
from support.rows import insert_rows
from support.sqlite_files import SQLiteDatabases

EXAMPLES = os.environ.get("EXAMPLES")  # unset: a few examples, always the same
STEPS = 3
HEADER = """
import enum
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from sqlalchemy import BigInteger, ForeignKey, Integer, String, Text, false, true
from sqlalchemy.orm import Mapped, mapped_column
from my_service.models.base import Base
"""
# Annotation, arguments of mapped_column, and a server default.
TYPES = [
    ("int", "", '"1"'),
    ("int", "BigInteger", '"2"'),
    ("str", "String(5)", '"one"'),
    ("str", "Text", '"one two"'),
    ("str", "Text", '"what\'s left"'),
    ("bool", "", "true()"),
    ("bool", "", "false()"),
    ("Decimal", "", '"1.5"'),
    ("float", "", '"0.5"'),
    ("date", "", '"2026-01-01"'),
    ("datetime", "", '"2026-01-01 00:00:00+00"'),
    ("time", "", '"12:00"'),
    ("timedelta", "", None),
    ("UUID", "", '"00000000-0000-0000-0000-000000000001"'),
    ("bytes", "", None),
    ("dict[str, Any]", "", "'{}'"),
    ("list[str]", "", None),
    ("list[UUID]", "", None),
]
MEMBERS = ["a", "b", "longer than the others", "it's", "ü", "50 %: all"]
WIDER = {"String(5)": "String(50)", "String(50)": "Text", "BigInteger": "BigInteger"}


class Models:
    """Models that change at random. A column never changes in a way that needs an owner's statement."""

    def __init__(self, choices: random.Random) -> None:
        self.choices = choices
        self.number = 0
        self.tables: dict[str, dict[str, dict[str, Any]]] = {}
        for _ in range(2):
            self.add_table()

    def new_name(self, kind: str) -> str:
        self.number += 1
        return f"{kind}{self.number}"

    def add_table(self) -> None:
        name = self.new_name("Table")
        self.tables[name] = {}
        for _ in range(self.choices.randint(1, 4)):
            self.add_column(name, empty=True)

    def add_column(self, table: str, *, empty: bool = False) -> None:
        kind = self.choices.choice(["plain", "plain", "plain", "enum", "key"])
        others = [name for name in self.tables if name < table]
        column: dict[str, Any] = {"nullable": self.choices.random() < 0.5, "index": self.choices.random() < 0.3}
        column["unique"] = self.choices.random() < 0.2
        if kind == "enum":
            column |= {"members": self.choices.sample(MEMBERS, 2), "default": None}
        elif kind == "key" and others:
            column |= {"target": self.choices.choice(others), "default": None}
        else:
            annotation, argument, default = self.choices.choice(TYPES)
            column |= {"annotation": annotation, "argument": argument}
            column["default"] = default if self.choices.random() < 0.5 else None
            if annotation in ("dict[str, Any]", "list[str]", "list[UUID]"):
                column |= {"index": False, "unique": False}
        # Existing rows need a value.
        if not empty and column["default"] is None:
            column["nullable"] = True
        self.tables[table][self.new_name("column")] = column

    def change(self) -> None:
        for _ in range(self.choices.randint(1, 4)):
            getattr(self, self.choices.choice(self.CHANGES))()

    CHANGES = ("add_table", "drop_table", "add_some_column", "drop_column", "change_column", "change_members")

    def drop_table(self) -> None:
        targets = {column.get("target") for table in self.tables.values() for column in table.values()}
        if free := [name for name in self.tables if name not in targets]:
            del self.tables[self.choices.choice(free)]

    def add_some_column(self) -> None:
        if self.tables:
            self.add_column(self.choices.choice(list(self.tables)))

    def drop_column(self) -> None:
        if name := self.some_column():
            del self.tables[name[0]][name[1]]

    def some_column(self) -> tuple[str, str] | None:
        names = [(table, column) for table, columns in self.tables.items() for column in columns]
        return self.choices.choice(names) if names else None

    def change_column(self) -> None:
        if name := self.some_column():
            column = self.tables[name[0]][name[1]]
            column["nullable"] = True
            if column.get("annotation") not in ("dict[str, Any]", "list[str]", "list[UUID]"):
                column["index"] = not column["index"]
            column["argument"] = WIDER.get(column.get("argument", ""), column.get("argument", ""))
            if column["default"] == '"1"':
                column["default"] = '"3"'
            elif column["default"] in ("true()", "false()"):
                column["default"] = None

    def change_members(self) -> None:
        enums = [column for columns in self.tables.values() for column in columns.values() if "members" in column]
        if enums:
            column = self.choices.choice(enums)
            # Rows have the first member.
            others = [member for member in MEMBERS if member != column["members"][0]]
            column["members"] = [column["members"][0], *self.choices.sample(others, self.choices.randint(0, 3))]

    def source(self) -> str:
        lines = [HEADER]
        for table, columns in sorted(self.tables.items(), key=lambda item: int(item[0].removeprefix("Table"))):
            fields = []
            for name, column in columns.items():
                options = [f"{option}=True" for option in ("index", "unique") if column[option]]
                if column["default"]:
                    options.append(f"server_default={column['default']}")
                if "members" in column:
                    annotation = f"{table}{name.title()}"
                    members = "".join(
                        f"    M{number} = {member!r}\n" for number, member in enumerate(column["members"])
                    )
                    lines.append(f"class {annotation}(enum.StrEnum):\n{members}\n")
                elif "target" in column:
                    annotation = "UUID"
                    options.insert(0, f"ForeignKey(Base.metadata.tables[{key(column['target'])!r}].c.id)")
                else:
                    annotation = column["annotation"]
                    if column["argument"]:
                        options.insert(0, column["argument"])
                optional = " | None" if column["nullable"] else ""
                fields.append(f"    {name}: Mapped[{annotation}{optional}] = mapped_column({', '.join(options)})\n")
            lines.append(f"class {table}(Base):\n{''.join(fields) or '    pass'}\n")
        return "\n".join(lines)


def key(table: str) -> str:
    return ".".join(filter(None, [Base.metadata.schema, table.lower()]))


# Seed 4 makes a column nullable and then drops it. The downgrade sets NOT NULL on the rows that lost their values.
# docs/migrations.md describes what owners do.
SEEDS = (0, 1, 2, 3, 5, 6, 7, 8, 9, 10)


def test_random_changes_of_models_migrate(databases: Any) -> None:
    if EXAMPLES is None:  # Hypothesis would choose other examples whenever the package changes.
        for seed in SEEDS:
            asyncio.run(walk(Models(random.Random(seed)), databases))
        return

    @settings(
        max_examples=int(EXAMPLES),
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.randoms(use_true_random=False))
    def search(choices: random.Random) -> None:
        asyncio.run(walk(Models(choices), databases))

    search()


async def walk(models: Models, databases: Any) -> None:
    """Change the models step by step. Each migration runs on both databases, with rows in the tables."""
    with TemporaryDirectory() as versions:
        async with databases.empty() as server, SQLiteDatabases().empty() as file:
            urls = [server, file]
            configs = [config_in(versions, url) for url in urls]
            for step in range(STEPS):
                define(source := models.source())
                try:
                    await migrate(configs, urls, f"step {step}")
                except BaseException as error:
                    error.add_note(f"{source}\n{written_in(versions)}")
                    raise
                models.change()
            for config in configs:
                await asyncio.to_thread(command.downgrade, config, "base")


def written_in(versions: str) -> str:
    return "\n".join(path.read_text("utf-8") for path in sorted(Path(versions).glob("*.py")))


async def migrate(configs: list[Config], urls: list[URL], message: str) -> None:
    configs[0].cmd_opts = Namespace(autogenerate=True)
    written = await asyncio.to_thread(command.revision, configs[0], message, autogenerate=True)
    configs[0].cmd_opts = None
    for config, url in zip(configs, urls, strict=True):
        steps = [("upgrade", "head"), ("downgrade", "-1"), ("upgrade", "head")] if written else []
        for name, revision in steps:
            await asyncio.to_thread(getattr(command, name), config, revision)
        await asyncio.to_thread(command.check, config)
        engine = backend_for(url).create_migration_engine(make_settings(url))
        async with engine.begin() as connection:
            await connection.run_sync(insert_rows, Base.metadata.schema)


def config_in(versions: str, url: URL) -> Config:
    config = migration_config(url)
    config.set_main_option("version_locations", versions)
    return config


def define(source: str) -> None:
    """Replace all models."""
    Base.registry.dispose()
    Base.metadata.clear()
    exec(compile(source, "models", "exec", dont_inherit=True), {"__name__": "models"})
