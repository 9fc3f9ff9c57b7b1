"""Read the answers of a rendered project, and run scripts with its interpreter."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import click
import yaml

ANSWERS_FILE = ".copier-answers.yml"
SCRIPTS = Path(__file__).with_name("in_project")


@dataclass(frozen=True)
class Project:
    """A project that this template rendered."""

    directory: Path
    answers: dict[str, Any]

    @property
    def package(self) -> str:
        return str(self.answers["package_name"])

    def run(self, script: str, *arguments: str, python: Path | None) -> NoReturn:
        """Replace this process by a script of `in_project`, which runs in the project's directory.

        Args:
            script: name of the script, without suffix.
            arguments: arguments of the script, after the package name.
            python: path of the interpreter; None is the interpreter in the project's `.venv`.
        """
        interpreter = self.interpreter() if python is None else Path.cwd() / python
        command = [str(interpreter), str(SCRIPTS), script, self.package, *arguments]
        os.chdir(self.directory)
        if os.name == "posix":
            # The script must receive signals itself, so that it can roll back.
            os.execv(interpreter, command)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # The console also sends it to the script.
        sys.exit(subprocess.run(command, check=False).returncode)

    def interpreter(self) -> Path:
        """Return the interpreter of the project's virtual environment.

        Raises:
            ClickException: the interpreter does not exist.
        """
        inside = "Scripts/python.exe" if os.name == "nt" else "bin/python"
        # Do not resolve the link: Python finds the environment by the path of the link.
        path = self.directory.absolute() / ".venv" / inside
        if not path.exists():
            raise click.ClickException(
                f"There is no interpreter at {path}. Run `make test` in the project to create it, or name another "
                "interpreter with --python."
            )
        return path


def read_project(directory: Path) -> Project:
    """Return the project in a directory.

    Raises:
        ClickException: the directory is not the root of a project.
    """
    path = directory / ANSWERS_FILE
    try:
        answers = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        answers = None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise click.ClickException(f"Cannot read {path}: {' '.join(str(error).split())}") from None
    if not isinstance(answers, dict) or "package_name" not in answers:
        raise click.ClickException(
            f"{directory.absolute()} is not a project of this template: it has no {ANSWERS_FILE} with a package_name. "
            "Run the command in the root of the project, or name the root with --project."
        )
    return Project(directory, answers)
