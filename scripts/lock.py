"""Resolve the dependencies of all answers, and write the lockfiles in template/.

    python scripts/lock.py                 lock the newest releases
    python scripts/lock.py --no-upgrade    keep the locked versions, and add or remove what pyproject.toml requires
    python scripts/lock.py --check         resolve like --no-upgrade, but only compare; exit status 1 if a file differs

1. One universal resolution, for all supported Python versions and platforms, pins the dependencies of all answers.
2. Each combination of answers is compiled with these pins.
3. The lockfiles get each requirement, with a condition for the combinations that need it.
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
"""The answers that change the dependencies of projects with pip-tools."""

CONDITIONS = {"postgresql": "postgresql", "sqlite": "sqlite", "jwt": "jwt", "none": "not jwt"}
FILE_CONDITION = "{% if pip_tools %}"
OUTPUTS = {
    "requirements.txt": ((), "Dependencies of the service", "--constraint=requirements-dev.txt"),
    "requirements-dev.txt": (("--extra", "dev"), "Dependencies of the service and its development", "--extra=dev"),
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
        for output, (options, title, option) in OUTPUTS.items():
            locks = {}
            for answers, project in projects.items():
                lock = project / output
                compile_requirements(lock, str(project / "pyproject.toml"), *options, "--constraint", str(pins))
                locks[answers] = blocks(lock.read_text())
            text = header(title, output, option) + merge(locks)
            path = template_path(output)
            if not path.exists() or path.read_text() != text:
                stale.append(path)
                if not check:
                    path.write_text(text)
    for path in stale:
        print(f"{'stale' if check else 'written'}: {path.relative_to(ROOT)}")
    return int(check and bool(stale))


def template_path(output: str) -> Path:
    return ROOT / "template" / f"{FILE_CONDITION}{output}{{% endif %}}.jinja"


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
    """Split a lockfile into its requirements, each with its hashes."""
    return [f"{block}\n" for block in re.split(r"\n(?! )", lock.strip())]


def pinned(text: str) -> str:
    return "\n".join(line.removesuffix(" \\") for line in text.splitlines() if "==" in line and "{%" not in line)


def merge(locks: dict[Answers, list[str]]) -> str:
    """Return one lockfile with all requirements. A requirement of only some combinations gets a condition."""
    parts = []
    for block in sorted(set(itertools.chain.from_iterable(locks.values()))):
        needed = [answers for answers, lock in locks.items() if block in lock]
        if len(needed) == len(locks):
            parts.append(block)
        else:
            parts.append(f"{{% if {condition(needed)} -%}}\n{block}{{% endif -%}}\n")
    return "".join(parts)


def condition(needed: list[Answers]) -> str:
    """Return the shortest Jinja condition that is true for these combinations only."""
    for position, values in enumerate(OPTIONS.values()):
        for value in values:
            if set(needed) == {
                answers for answers in itertools.product(*OPTIONS.values()) if answers[position] == value
            }:
                return CONDITIONS[value]
    alternatives = (" and ".join(CONDITIONS[value] for value in answers) for answers in needed)
    return " or ".join(f"({alternative})" for alternative in alternatives)


def header(title: str, output: str, option: str) -> str:
    """Return the first lines of a lockfile. Renovate runs the command in them, as scripts/update_requirements.py."""
    command = (
        f"pip-compile --allow-unsafe --generate-hashes --strip-extras {option} --output-file={output} pyproject.toml"
    )
    return f"# {title}, pinned with hashes. `make lock` updates this file with:\n#\n#    {command}\n#\n"


if __name__ == "__main__":
    sys.exit(main())
