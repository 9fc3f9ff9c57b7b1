# /// script
# dependencies = ["copier==9.19.1"]
# ///
"""For each file of a template, Copier compiles each part of its path again, and runs `git config core.fileMode`.

It could keep compiled names, as Jinja keeps compiled files, and read the setting once.
"""

from __future__ import annotations

import resource
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from copier import run_copy
from copier._main import Worker
from jinja2 import Environment, Template

FILES, TIMES = 150, 5


def processor_time() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def measure(template: Path) -> float:
    """Return milliseconds for a copy."""
    times = []
    for _ in range(TIMES):
        with TemporaryDirectory() as project:
            started = processor_time()
            run_copy(str(template), project, defaults=True, quiet=True)
            times.append((processor_time() - started) * 1000)
    return min(times)


def keep_compiled_names() -> None:
    from_string = Environment.from_string
    compiled: dict[tuple[Environment, str], Template] = {}

    def from_string_once(environment: Environment, source: str, *rest: Any) -> Template:
        if (environment, source) not in compiled:
            compiled[environment, source] = from_string(environment, source, *rest)
        return compiled[environment, source]

    Environment.from_string = from_string_once  # type: ignore[method-assign, assignment]


def leave_modes_to_git() -> None:
    Worker._sync_git_index_executable_bit = lambda *_: None  # type: ignore[method-assign]


def main() -> None:
    with TemporaryDirectory() as directory:
        template = Path(directory)
        for number in range(FILES):
            path = template / "template" / f"{{{{ name }}}}_{number % 10}" / "source" / f"module_{number}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("pass\n")
        (template / "copier.yml").write_text("_subdirectory: template\nname: {type: str, default: service}\n")
        print(f"{FILES} files: {measure(template):.0f} ms")
        keep_compiled_names()
        print(f"with compiled names: {measure(template):.0f} ms")
        leave_modes_to_git()
        print(f"and without git for each file: {measure(template):.0f} ms")


if __name__ == "__main__":
    main()
