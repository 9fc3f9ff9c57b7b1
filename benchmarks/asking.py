"""Cost of requests through the whole stack, with the settings of production and with logging."""

from __future__ import annotations

from collections.abc import Mapping

from harness import load
from report import Table
from subjects import Subject, fill, serving_all

SECTION = "requests"
CLIENTS = 16
FEW_CLIENTS = 4  # no more than the connections of each pool


def measure(subjects: Mapping[str, Subject], table: Table, rounds: int, seconds: float) -> None:
    """Requests per second, milliseconds to the answer, and microseconds of the processor, of each kind of request.

    Each round starts new processes, because some processes are a few per cent faster than others by chance.
    """
    for subject in subjects.values():
        fill(subject)
    for _ in range(rounds):
        with serving_all(subjects) as servers:
            for name, subject in subjects.items():
                for route in subject.routes.values():
                    load(servers[name], route, CLIENTS, requests=200)  # so that caches and pools are full
            for kind in subjects["ours"].routes:
                for name, subject in subjects.items():
                    if kind in subject.routes:
                        result = load(servers[name], subject.routes[kind], CLIENTS, seconds=seconds)
                        table.row(SECTION, f"{kind}, rate", "1/s", "more").add(name, result.rate)
                        table.row(SECTION, f"{kind}, p50", "ms").add(name, result.percentile(0.5))
                        table.row(SECTION, f"{kind}, p99", "ms").add(name, result.percentile(0.99))
                        table.row(SECTION, f"{kind}, CPU", "µs").add(name, result.cpu_per_answer)
                        result = load(servers[name], subject.routes[kind], FEW_CLIENTS, seconds=seconds)
                        few = f"{kind}, {FEW_CLIENTS} clients"
                        table.row(SECTION, f"{few}, rate", "1/s", "more").add(name, result.rate)
                        table.row(SECTION, f"{few}, CPU", "µs").add(name, result.cpu_per_answer)
