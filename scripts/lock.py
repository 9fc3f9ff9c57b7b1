"""Resolve the dependencies of every answer once, and write the locks that renders are made of.

    python scripts/lock.py                 newest releases
    python scripts/lock.py --no-upgrade    the pins that are there, and what a change of pyproject.toml adds or removes
    python scripts/lock.py --check         the same, but only compared: exit status 1 if anything differs

One universal resolution (all supported Python versions and platforms) pins the dependencies of all
answers together. Each combination of answers is then compiled under those pins, and the lock files
in template/ get each requirement with the condition of the combinations that need it.
"""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

from copier import run_copy
from copier.errors import DirtyLocalWarning

ROOT = Path(__file__).resolve().parents[1]
OPTIONS = {"database_backend": ("postgresql", "sqlite"), "auth": ("none", "jwt")}
"""The answers that decide about dependencies, among projects that pip-tools locks."""

CONDITION = "{% if dependency_tool == 'pip-tools' %}"
OUTPUTS = {
    "requirements.txt": ((), "The dependencies of the service"),
    "requirements-dev.txt": (("--extra", "dev"), "The dependencies of the service and of its development"),
}
OLDEST_PYTHON = "3.11"

Answers = tuple[str, ...]


def main() -> int:
    warnings.simplefilter("ignore", DirtyLocalWarning)
    check = sys.argv[1:] == ["--check"]
    keep = check or sys.argv[1:] == ["--no-upgrade"]
    with tempfile.TemporaryDirectory() as directory:
        projects = render_all(Path(directory))
        pins = Path(directory, "pins.txt")
        current = [template_path(output) for output in OUTPUTS]
        previous = Path(directory, "previous.txt")
        previous.write_text("\n".join(pinned(path.read_text()) for path in current if path.exists()) if keep else "")
        everything = itertools.chain.from_iterable((project / "pyproject.toml",) for project in projects.values())
        compile_requirements(pins, *map(str, everything), "--extra", "dev", "--constraint", str(previous))
        stale = []
        for output, (options, title) in OUTPUTS.items():
            locks = {}
            for answers, project in projects.items():
                lock = project / output
                compile_requirements(lock, str(project / "pyproject.toml"), *options, "--constraint", str(pins))
                locks[answers] = blocks(lock.read_text())
            text = header(title) + merge(locks)
            path = template_path(output)
            if not path.exists() or path.read_text() != text:
                stale.append(path)
                if not check:
                    path.write_text(text)
    for path in stale:
        print(f"{'stale' if check else 'written'}: {path.relative_to(ROOT)}")
    return int(check and bool(stale))


def template_path(output: str) -> Path:
    return ROOT / "template" / f"{CONDITION}{output}{{% endif %}}.jinja"


def render_all(directory: Path) -> dict[Answers, Path]:
    projects = {}
    for answers in itertools.product(*OPTIONS.values()):
        projects[answers] = directory / "-".join(answers)
        data = dict(zip(OPTIONS, answers, strict=True))
        run_copy(str(ROOT), projects[answers], data=data, vcs_ref="HEAD", defaults=True, quiet=True)
    return projects


def compile_requirements(output: Path, *arguments: str) -> None:
    command = ["uv", "pip", "compile", "--quiet", "--universal", "--python-version", OLDEST_PYTHON, "--generate-hashes"]
    plain = ["--no-annotate", "--no-header", "--no-emit-index-url", "--no-emit-find-links"]
    subprocess.run([*command, *plain, "--output-file", str(output), *arguments], check=True)


def blocks(lock: str) -> list[str]:
    """One requirement each, with its hashes."""
    return [f"{block}\n" for block in re.split(r"\n(?! )", lock.strip())]


def pinned(text: str) -> str:
    return "\n".join(line.removesuffix(" \\") for line in text.splitlines() if "==" in line and "{%" not in line)


def merge(locks: dict[Answers, list[str]]) -> str:
    """The union of the locks, each requirement under the condition that needs it."""
    parts = []
    for block in sorted(set(itertools.chain.from_iterable(locks.values()))):
        needed = [answers for answers, lock in locks.items() if block in lock]
        if len(needed) == len(locks):
            parts.append(block)
        else:
            parts.append(f"{{% if {condition(needed)} -%}}\n{block}{{% endif -%}}\n")
    return "".join(parts)


def condition(needed: list[Answers]) -> str:
    """The shortest test that these combinations alone pass."""
    for position, (name, values) in enumerate(OPTIONS.items()):
        for value in values:
            if set(needed) == {
                answers for answers in itertools.product(*OPTIONS.values()) if answers[position] == value
            }:
                return f"{name} == '{value}'"
    alternatives = (
        " and ".join(f"{name} == '{value}'" for name, value in zip(OPTIONS, answers, strict=True)) for answers in needed
    )
    return " or ".join(f"({alternative})" for alternative in alternatives)


def header(title: str) -> str:
    return f"# {title}, exact and with hashes; `make lock` refreshes it.\n"


if __name__ == "__main__":
    sys.exit(main())
