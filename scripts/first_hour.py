"""Run the first commands of README.md as a new user does, and write their times: `make first-hour`.

The commands run in a new directory, with a new home directory and empty caches of pip and uv. The table goes to
docs/first-hour.md. `make first-hour args=--print` only prints it.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import resource
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import marked
from newcomer import ROOT, clone, environment, place_after, readme_commands, serving

sys.path.insert(0, str(ROOT / "tests"))
from engine import Compose, Engine

PAGE = ROOT / "docs" / "first-hour.md"
URL = "http://127.0.0.1:8000"
RESULTS = {
    "uvx copier copy": r"^(\d+ files) rendered$",
    "make dev": r"^(.*ready.*)$",
    "make test": r"(\d+ passed)",
    "make update-check": r"(Project is up-to-date.*|already the latest.*)",
}
"""Patterns that find the result of a command in its output."""


class Step(NamedTuple):
    """A command, its elapsed time and processor time in seconds, and its result.

    Without an elapsed time, the command did not run. The processor time of containers is not known.
    """

    command: str
    seconds: float | None
    processor: float | None
    result: str


def measure(directory: Path, commands: list[str]) -> list[Step]:
    """Run the commands one after the other in a directory, and stop at the first that fails.

    Raises:
        SystemExit: a command failed. The message has its output.
    """
    variables = environment(directory / "home", clone(directory / "template"))
    cwd, steps = directory / "work", []
    cwd.mkdir()
    with ExitStack() as stack:
        for command in commands:
            print(f"$ {command}", file=sys.stderr, flush=True)
            started, used = time.monotonic(), processor_time()
            if command.startswith("docker compose"):
                steps.append(compose(command, cwd, directory.name, stack))
                continue
            if command == "make dev":
                with serving(command, cwd, variables, URL, directory / "log"):
                    seconds, output = time.monotonic() - started, f"{URL} is ready"
            else:
                output = run(command, cwd, variables)
                seconds = time.monotonic() - started
            cwd = place_after(command, cwd)
            if command.startswith("uvx copier copy"):
                output += f"\n{sum(path.is_file() for path in (cwd / command.split()[-1]).rglob('*'))} files rendered"
            steps.append(Step(command, seconds, processor_time() - used, result(command, output)))
            print(f"{seconds:.1f} s, {steps[-1].result}", file=sys.stderr, flush=True)
    return steps


def processor_time() -> float:
    """Return the processor time of all ended commands."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(command: str, cwd: Path, variables: dict[str, str]) -> str:
    """Return the output of a command. Without a terminal, Copier must not ask its questions."""
    finished = subprocess.run(
        ["bash", "-c", command.replace("copier copy ", "copier copy --defaults ", 1)],
        cwd=cwd,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if finished.returncode:
        raise SystemExit(f"{command} failed with exit status {finished.returncode}.\n{finished.stdout[-5000:]}")
    return finished.stdout


def result(command: str, output: str) -> str:
    """Return the result that the output names."""
    for start, pattern in RESULTS.items():
        if command.startswith(start) and (found := re.search(pattern, output, re.MULTILINE)):
            return found[1].strip()
    return "done"


def compose(command: str, cwd: Path, name: str, stack: ExitStack) -> Step:
    """Build the image and start the containers, with Docker, or with Podman Compose."""
    engine = Engine.find()
    if engine is None:
        return Step(command, None, None, "not measured: no container runtime")
    services = Compose(engine, cwd, "docker-compose.yml", re.sub(r"\W", "", name).lower())
    stack.callback(services.down, "--volumes")
    started = time.monotonic()
    try:
        services.up()
    except AssertionError as error:
        raise SystemExit(f"{command} failed.\n{error}") from None
    return Step(command, time.monotonic() - started, None, f"all containers are healthy ({engine.program})")


def table(steps: list[Step]) -> str:
    """Return the conditions and a table of the steps."""
    total = sum(step.seconds or 0 for step in steps)
    machine = f"{os.cpu_count()} cores, load average {os.getloadavg()[2]:.1f}, Python {platform.python_version()}"
    rows = [
        f"{datetime.now(UTC):%Y-%m-%d}, {machine}. All commands together: {total:.0f} s.",
        "",
        "| command | seconds | processor seconds | result |",
        "|---|---|---|---|",
        *(f"| `{step.command}` | {shown(step.seconds)} | {shown(step.processor)} | {step.result} |" for step in steps),
    ]
    return "\n".join(rows) + "\n"


def shown(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make first-hour", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--print", action="store_true", help="print the table, and do not write docs/first-hour.md")
    only_print = parser.parse_args().print
    # The parent of all files must be readable: the tests start PostgreSQL as an unprivileged user.
    with TemporaryDirectory(prefix="first-hour-") as directory:
        Path(directory).chmod(0o755)
        written = table(measure(Path(directory), readme_commands()))
    print(written)
    if not only_print:
        marked.write(PAGE, "first-hour", written)


if __name__ == "__main__":
    main()
