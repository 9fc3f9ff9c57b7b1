"""Create a project, serve it, and run its CI, with only Python, git and make installed."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from conftest import ROOT, run, run_unchecked
from processes import started

sys.path.insert(0, str(ROOT / "scripts"))

import first_hour
import newcomer
from address import address

pytestmark = pytest.mark.slow


def make(target: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return run("make", *target.split(), cwd=cwd, **environment)


@pytest.mark.parametrize(
    ("answers", "options"),
    [
        pytest.param("", "DEFAULTS=1", id="default"),
        pytest.param(
            "database_backend: sqlite\ninclude_example: false\ndependency_tool: uv\nci_provider: gitlab\n", "", id="uv"
        ),
    ],
)
def test_new_project_serves_and_passes_its_ci(
    template: Path, tmp_path: Path, postgres: str, answers: str, options: str
) -> None:
    clone = tmp_path / "clone"
    run("git", "clone", "--quiet", template, clone, cwd=tmp_path)
    (tmp_path / "answers.yml").write_text(answers)
    service = tmp_path / "service"
    made = make(f"new DEST={service} {options or f'DATA={tmp_path}/answers.yml'}", clone)
    assert [path.name for path in (clone / ".venv").iterdir()] == ["new"], (
        "`make new` installed the tools of the tests."
    )

    start, serve, check = re.findall(r"^  (\S.*)", made.stderr.partition("Run these commands")[2], re.MULTILINE)
    run("bash", "-c", start, cwd=clone)
    run("git", "clean", "-Xdfq", cwd=service)  # The commit must have all files that the following commands need.
    assert_dev_serves(service, *serve.split())
    run(*check.split(), cwd=service)
    for target in ("test", "migrate", "help"):
        make(target, service)
    run_continuous_integration(service, postgres)
    refused = run_unchecked("make", "revision", cwd=service)
    assert refused.returncode != 0
    assert 'm="' in refused.stdout
    assert run("git", "status", "--porcelain", cwd=service).stdout.split() == []


def assert_dev_serves(service: Path, *command: str) -> None:
    with started(*command, cwd=service, seconds=300) as running:
        for path in ("/health", "/health/db", "/health/ready", "/docs"):
            assert running.get(path).status_code == 200
        os.killpg(running.process.pid, signal.SIGINT)
        running.process.wait(30)
        output = running.output()
    assert running.url in output
    assert "Traceback" not in output


def run_continuous_integration(service: Path, postgres: str) -> None:
    """Run the commands of the job `check`.

    test_containers.py tests the job `container`. test_audit_reports_a_known_vulnerability tests the job `audit` with
    its own OSV server.
    """
    jobs = commands(service)
    assert jobs.keys() == {"check", "container", "audit"}
    for command, variables in jobs["check"]:
        if variables.get("TEST_DATABASE_URL", "").startswith("postgresql"):
            variables["TEST_DATABASE_URL"] = postgres
        run("bash", "-c", command, cwd=service, **variables)
    assert [command for command, _ in jobs["audit"]] == ["make audit"]


def commands(project: Path) -> dict[str, list[tuple[str, dict[str, str]]]]:
    """Return the commands of each job, with their environment variables."""
    if (project / ".gitlab-ci.yml").exists():
        jobs = yaml.safe_load((project / ".gitlab-ci.yml").read_text("utf-8"))
        return {
            name: [split_variables(line) for line in job["script"]] for name, job in jobs.items() if "script" in job
        }
    jobs = yaml.safe_load((project / ".github" / "workflows" / "ci.yml").read_text("utf-8"))["jobs"]
    return {
        name: [(step["run"], step.get("env", {})) for step in job["steps"] if "run" in step]
        for name, job in jobs.items()
    }


def split_variables(line: str) -> tuple[str, dict[str, str]]:
    words = shlex.split(line)
    variables = dict(word.split("=", 1) for word in words if re.match(r"[A-Z_]+=", word))
    return shlex.join(words[len(variables) :]), variables


def test_commands_of_the_readme_create_a_project(template: Path, tmp_path: Path) -> None:
    """Git takes the template from a clone instead of its public address, and Copier uses the default answers."""
    variables = newcomer.environment(tmp_path / "home", template) | {"HOME": os.environ["HOME"]}
    work = tmp_path / "work"
    work.mkdir()
    commands = newcomer.readme_commands()
    for command in commands[: commands.index("make dev")]:
        first_hour.run(command, work, variables)
        work = newcomer.place_after(command, work)
    assert run("git", "log", "--format=%s", cwd=work).stdout == "Start\n"
    assert f"_src_path: {address()}\n" in (work / ".copier-answers.yml").read_text("utf-8")
    assert (work / "src" / "my_service" / "main.py").is_file()
