"""Cost of a process: until its first healthy response, when idle, and after much work."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from harness import Memory, Server, load, open_and_close, run
from report import Table
from subjects import Subject, Workshop, fill

START, MEMORY = "start", "memory"
REST = 0.5
"""Seconds after the first answer until a process counts as idle."""

WAIT = "import signal; signal.pause()"


def measure(workshop: Workshop, subjects: Mapping[str, Subject], table: Table, rounds: int) -> None:
    """Seconds to the first healthy answer, and megabytes then.

    One process at a time, so that none shares pages with another's.
    """
    for _ in range(rounds):
        for subject in subjects.values():
            with subject.serving() as server:
                table.row(START, "first healthy answer, wall", "s").add(subject.name, server.start.wall)
                table.row(START, "first healthy answer, CPU", "s").add(subject.name, server.start.cpu)
                time.sleep(REST)
                note(table, "idle", subject.name, server.memory())
        nothing = run([workshop.python, "-c", "pass"], workshop.directory)
        table.row(START, "first healthy answer, wall", "s").add("python", nothing.wall)
        table.row(START, "first healthy answer, CPU", "s").add("python", nothing.cpu)
        note(table, "idle", "python", memory_of_python(workshop.python))
    for _ in range(rounds):
        for subject in (subjects["ours"], subjects["peer"]):
            note(table, "idle, two workers", subject.name, memory_of_two(subject))


def measure_work(subjects: Mapping[str, Subject], table: Table, rounds: int, requests: int, connections: int) -> None:
    """Measure the memory after requests of every kind, and twice after opening and closing connections."""
    for _ in range(rounds):
        for subject in subjects.values():
            _work(subject, table, requests, connections)


def _work(subject: Subject, table: Table, requests: int, connections: int) -> None:
    fill(subject)
    with subject.serving() as server:
        for route in subject.routes.values():
            load(server, route, clients=16, requests=requests // len(subject.routes))
        note(table, f"after {requests:,} requests", subject.name, server.memory())
        for times in (1, 2):
            open_and_close(server, subject.routes["health"], connections)
            note(table, f"after {times * connections:,} connections", subject.name, server.memory())


def note(table: Table, when: str, subject: str, memory: Memory) -> None:
    table.row(MEMORY, f"RSS {when}", "MB").add(subject, memory.rss)
    table.row(MEMORY, f"PSS {when}", "MB").add(subject, memory.pss)


def memory_of_two(subject: Subject) -> Memory:
    """Return the memory of two workers, or of two processes if the subject has no setting for workers."""
    with ExitStack() as stack:
        starts: list[Callable[[], AbstractContextManager[Server]]] = [subject.serving, subject.serving]
        if subject.workers_variable:
            starts = [lambda: subject.serving(**{subject.workers_variable: "2"})]
        servers = [stack.enter_context(start()) for start in starts]
        time.sleep(4 * REST)  # the second worker's start is not seen from outside
        memories = [server.memory() for server in servers]
    return Memory(sum(memory.rss for memory in memories), sum(memory.pss for memory in memories))


def memory_of_python(python: Path) -> Memory:
    """Return the memory of an idle interpreter."""
    with subprocess.Popen([python, "-c", WAIT]) as process:
        time.sleep(REST)
        try:
            return Server(process).memory()
        finally:
            process.kill()
