"""The image's size over its base, and the time from `run` to the first healthy answer: `make bench-image`."""

from __future__ import annotations

import statistics
import sys
import time

from harness import BenchmarkError, command, free_port, is_healthy
from subjects import ROOT, workshop

sys.path.insert(0, str(ROOT / "tests"))
from engine import HARDENED, Engine

RUNS = 5
MEGABYTE = 1_000_000
TAG = "bench-image"


def main() -> None:
    engine = Engine.find()
    if engine is None:
        raise BenchmarkError("No container engine: install Docker or Podman.")
    with workshop() as place:
        engine.build(place.render(database_backend="sqlite"), TAG)
    try:
        size, base = (image["Size"] / MEGABYTE for image in (engine.inspect(TAG), engine.base("python:3.13-slim")))
        print(f"image {size:.0f} MB, its base {base:.0f} MB: {size - base:.0f} MB over it, x{size / base:.2f}")
        service, nothing = [], []
        for _ in range(RUNS):  # in turns, because the machine is not ours alone
            service.append(first_healthy_answer(engine))
            nothing.append(first_end(engine))
        for name, seconds in (("first healthy answer", service), ("`python -c pass`", nothing)):
            print(f"{name:21}{statistics.median(seconds):5.2f} s ({min(seconds):.2f} to {max(seconds):.2f})")
    finally:
        engine.try_run("rmi", "--force", TAG)


def first_healthy_answer(engine: Engine) -> float:
    port = free_port()
    variables = ("--env=ENVIRONMENT=test", "--env=DATABASE_URL=sqlite:////tmp/service.db")
    started = time.perf_counter()
    with engine.running(TAG, *HARDENED, *variables, f"--publish=127.0.0.1:{port}:8000"):
        while not is_healthy(port, "/health/db"):
            time.sleep(0.01)
        return time.perf_counter() - started


def first_end(engine: Engine) -> float:
    started = time.perf_counter()
    engine.run("run", "--rm", "--entrypoint=python", TAG, "-c", "pass")
    return time.perf_counter() - started


if __name__ == "__main__":
    command(main)
