"""What requests cost, through the whole stack with logging on, as shipped."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

from harness import load
from report import Table
from subjects import Subject, fill

SECTION = "requests"
CLIENTS = 16
ROWS = 1000


def measure(subjects: Mapping[str, Subject], table: Table, rounds: int, seconds: float) -> None:
    """Requests per second, milliseconds to the answer, and microseconds of the processor, of each kind of request."""
    with ExitStack() as stack:
        servers = {name: stack.enter_context(subject.serving()) for name, subject in subjects.items()}
        for name, subject in subjects.items():
            fill(subject, ROWS)
            for route in subject.routes.values():
                load(servers[name], route, CLIENTS, requests=200)  # so that caches and pools are full
        for _ in range(rounds):
            for kind in subjects["ours"].routes:
                for name, subject in subjects.items():
                    if kind in subject.routes:
                        result = load(servers[name], subject.routes[kind], CLIENTS, seconds=seconds)
                        table.row(SECTION, f"{kind}, rate", "1/s", "more").add(name, result.rate)
                        table.row(SECTION, f"{kind}, p50", "ms").add(name, result.percentile(0.5))
                        table.row(SECTION, f"{kind}, p99", "ms").add(name, result.percentile(0.99))
                        table.row(SECTION, f"{kind}, CPU", "µs").add(name, result.cpu_per_answer)
