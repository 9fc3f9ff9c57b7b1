"""The pool that keeps overflow connections open, beside SQLAlchemy's own: `make bench-pool`.

Both serve alternately. First 4 clients need only the pool size, then 16 and 100 need the overflow. After one minute,
when overflow connections were closed, there are 4 clients again. Each row has responses per second, processor time for
each response, and the number of connections that were opened.
"""

from __future__ import annotations

import shutil
import statistics
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from harness import Load, command, load
from subjects import Subject, create_database, fill, postgres, sql, workshop

PHASES = (("4 clients", 4), ("16 clients", 16), ("100 clients", 100), ("4 clients, a minute later", 4))
ROUNDS = 3
SECONDS = 2.0
OVERFLOW_CLOSES_AFTER = 65.0
"""Seconds; the interval of the service's trimming, and a little more."""


def main() -> None:
    with workshop() as place, postgres(place) as server, ExitStack() as stack:
        ours = place.ours(create_database(server, "overflow_pool"))
        subjects = {"ours": ours, "SQLAlchemy's": with_plain_pool(ours, create_database(server, "plain_pool"))}
        fill(ours)
        sql(server.url, "DROP DATABASE plain_pool", "CREATE DATABASE plain_pool TEMPLATE overflow_pool", "SELECT 1")
        servers = {name: stack.enter_context(subject.serving()) for name, subject in subjects.items()}
        for phase, clients in PHASES:
            if "later" in phase:
                time.sleep(OVERFLOW_CLOSES_AFTER)
            loads: dict[str, list[Load]] = {name: [] for name in subjects}
            before = {name: opened(subject) for name, subject in subjects.items()}
            for _ in range(ROUNDS):
                for name, subject in subjects.items():
                    loads[name].append(load(servers[name], subject.routes["read by id"], clients, seconds=SECONDS))
            time.sleep(1.5)  # until PostgreSQL has counted the sessions
            for name, subject in subjects.items():
                rate = statistics.median(result.rate for result in loads[name])
                cpu = statistics.median(result.cpu_per_answer for result in loads[name])
                new = opened(subject) - before[name]
                print(f"{phase:26} {name:13} {rate:7.0f}/s {cpu:7.0f} µs {new:5} connections opened", flush=True)


def with_plain_pool(subject: Subject, url: str) -> Subject:
    """Return a copy that uses SQLAlchemy's pool."""
    project = subject.cwd.with_name("plain-pool")
    shutil.copytree(subject.cwd, project)
    backend = project / "src" / "my_service" / "backends" / "postgresql.py"
    text = backend.read_text("utf-8")
    for old, new in (
        ("            poolclass=OverflowPool,\n", ""),
        ("        while True:\n", "        while False:\n"),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    text = text.replace("        assert isinstance(engine.pool, OverflowPool)\n", "")
    backend.write_text(text, "utf-8")
    variables = {**subject.variables, "DATABASE_URL": url, "PYTHONPATH": str(Path(project, "src"))}
    return replace(subject, name="plain pool", cwd=project, variables=variables)


def opened(subject: Subject) -> int:
    """Return how many connections to the subject's database were ever opened."""
    url = subject.variables["DATABASE_URL"]
    return int(sql(url, "SELECT sessions FROM pg_stat_database WHERE datname = current_database()"))


if __name__ == "__main__":
    command(main)
