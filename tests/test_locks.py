"""Check the lockfiles of a render: packages, hashes, lower bounds, audits, and updates of the template."""

from __future__ import annotations

import itertools
import json
import re
import sys
import threading
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from copier import run_copy, run_update
from packaging.markers import Marker

from conftest import Environment, Render, commit_all, git_init, run, run_unchecked

UV = Path(sys.executable).with_name("uv")
BACKENDS = ("postgresql", "sqlite")
EXTRAS: dict[str, tuple[str, ...]] = {"requirements.txt": (), "requirements-dev.txt": ("--extra", "dev")}
LOCKS = list(itertools.product(BACKENDS, EXTRAS))

PIN = re.compile(r"^([\w.-]+)==([^\s;]+)(?: ; ([^\\\n]+?))?(?: \\)?$", re.MULTILINE)
IMPORT_EVERYTHING = """
import importlib, pkgutil, my_service
for module in pkgutil.walk_packages(my_service.__path__, "my_service."):
    importlib.import_module(module.name)
    print(module.name)
"""

PLATFORMS = {
    "linux": {"sys_platform": "linux", "os_name": "posix", "platform_system": "Linux"},
    "macos": {"sys_platform": "darwin", "os_name": "posix", "platform_system": "Darwin"},
    "windows": {"sys_platform": "win32", "os_name": "nt", "platform_system": "Windows"},
}


def pins(text: str) -> dict[tuple[str, str], str]:
    """Return the packages and versions of a lockfile, with their markers."""
    return {(name, version): marker for name, version, marker in PIN.findall(text)}


def compile_(project: Path, options: Iterable[str | Path]) -> dict[tuple[str, str], str]:
    command = (UV, "pip", "compile", "--quiet", "--no-annotate", "--no-header", "pyproject.toml")
    return pins(run(*command, *options, cwd=project).stdout)


@pytest.mark.parametrize(("backend", "lock"), LOCKS)
def test_compiling_with_the_pins_gives_the_same_lockfile(render: Render, backend: str, lock: str) -> None:
    project = render(database_backend=backend)
    under = ("--constraint", "requirements-dev.txt", "--universal", "--python-version", "3.11", *EXTRAS[lock])
    text = (project / lock).read_text()
    assert compile_(project, under) == pins(text)
    assert text.count("==") == len(PIN.findall(text)) + text.count("python_full_version ==") + text.count(" == '")
    assert all("--hash=sha256:" in block for block in re.split(r"\n(?! )", text.strip()) if not block.startswith("#"))


@pytest.mark.slow
@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("version", ["3.11", "3.15"])
def test_markers_select_the_packages_that_a_platform_needs(render: Render, platform: str, version: str) -> None:
    project = render()
    environment = {
        **PLATFORMS[platform],
        "python_version": version,
        "python_full_version": f"{version}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    for lock, extra in EXTRAS.items():
        under = ("--constraint", lock, "--python-version", version, "--python-platform", platform, *extra)
        needed = compile_(project, under)
        locked = pins((project / lock).read_text()).items()
        assert {pin for pin, marker in locked if not marker or Marker(marker).evaluate(environment)} == set(needed)


@pytest.mark.parametrize("backend", BACKENDS)
def test_production_pins_are_part_of_the_development_pins(render: Render, backend: str) -> None:
    production, development = (pins((render(database_backend=backend) / lock).read_text()) for lock in EXTRAS)
    assert production.items() < development.items()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "lock"),
    [pytest.param(*case) for case in LOCKS],
)
def test_lockfile_has_every_package_that_the_service_imports(
    render: Render, tmp_path: Path, backend: str, lock: str
) -> None:
    project = render(database_backend=backend)
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    pip = (python, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "install", "--quiet", "--no-compile", "--require-hashes", "--no-deps", "-r", lock, cwd=project)
    run(*pip, "check", cwd=project)
    imported = run(python, "-c", IMPORT_EVERYTHING, cwd=tmp_path, PYTHONPATH=str(project / "src"))
    assert len(imported.stdout.split()) > 20


def test_wrong_hash_is_rejected(project: Render, tmp_path: Path) -> None:
    service = project(database_backend="sqlite")
    lock = service / "requirements.txt"
    lock.write_text(re.sub(r"sha256:.", "sha256:0", lock.read_text()))
    run(UV, "venv", "--quiet", tmp_path / "venv", cwd=tmp_path)
    install = (UV, "pip", "install", "--python", str(tmp_path / "venv"), "--require-hashes", "--no-deps", "-r", lock)
    refused = run_unchecked(*install, cwd=service)
    assert refused.returncode != 0
    assert "Hash mismatch" in refused.stderr


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_suite_passes_with_the_lowest_versions(project: Render, tmp_path: Path, backend: str) -> None:
    service = project(database_backend=backend)
    compile_(service, ("--resolution", "lowest-direct", "--extra", "dev", "--output-file", tmp_path / "lowest.txt"))
    run(UV, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv", cwd=tmp_path)
    install = ("pip", "install", "--quiet", "--no-deps", "--python", str(tmp_path / "venv"), "-r")
    run(UV, *install, tmp_path / "lowest.txt", cwd=service)
    environment = Environment(tmp_path / "venv")
    environment.run(service, "pytest", "-q")
    environment.run(service, "mypy")
    environment.run(service, "ruff", "check")


@pytest.mark.slow
def test_outdated_lockfiles_are_reported_and_updated(project: Render) -> None:
    service = project(database_backend="sqlite")
    assert "lockfiles do not match" not in run("make", "lint", cwd=service).stdout
    pyproject = service / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace('    "structlog', '    "itsdangerous>=2",\n    "structlog'))
    installed = run("make", "lint", cwd=service).stdout
    assert "my-service 0.1.0 requires itsdangerous, which is not installed." in installed
    assert "The lockfiles do not match pyproject.toml. Run: make lock args=--no-upgrade" in installed
    assert "  requirements.txt: itsdangerous none -> 2" in run("make", "lock", "args=--no-upgrade", cwd=service).stdout
    assert "lockfiles do not match" not in run("make", "lint", cwd=service).stdout


class Advisories(BaseHTTPRequestHandler):
    """HTTP handler of an OSV server that has one vulnerability."""

    protocol_version = "HTTP/1.1"
    advisory: ClassVar[dict[str, Any]] = {
        "id": "TEST-1",
        "summary": "Served lukewarm",
        "published": "2026-01-01T00:00:00Z",
        "modified": "2026-01-01T00:00:00Z",
        "affected": [{"package": {"name": "structlog", "ecosystem": "PyPI"}, "versions": ["26.1.0"]}],
    }

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answers = [self.about(query["package"]["name"]) for query in asked.get("queries", [asked])]
        self.answer({"results": answers} if "queries" in asked else answers[0])

    def do_GET(self) -> None:
        self.answer(self.advisory)

    def about(self, package: str) -> dict[str, Any]:
        return {"vulns": [self.advisory]} if package in self.server.vulnerable else {}  # type: ignore[attr-defined]

    def answer(self, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def advisories() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Advisories) as server:
        server.vulnerable = set()  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tool", "options"),
    [
        ("pip-tools", "--vulnerability-service osv --osv-url {url}/v1/query"),
        ("uv", "--service-url {url}"),
    ],
)
def test_audit_reports_a_known_vulnerability(project: Render, advisories: HTTPServer, tool: str, options: str) -> None:
    service = project(database_backend="sqlite", dependency_tool=tool)
    url = f"http://127.0.0.1:{advisories.server_port}"
    audit = ("make", "audit", f"args={options.format(url=url)}")
    run(*audit, cwd=service)
    advisories.vulnerable.add("structlog")  # type: ignore[attr-defined]
    found = run_unchecked(*audit, cwd=service)
    assert found.returncode != 0
    assert "TEST-1" in found.stdout + found.stderr
    assert run("git", "status", "--porcelain", cwd=service).stdout.split() in ([], ["??", "uv.lock"])


@pytest.fixture
def releases(template: Path, tmp_path: Path) -> Path:
    """Return a clone of the template with an older release, v998.0.0. Its lockfiles and Makefile differ."""
    clone = tmp_path / "releases"
    run("git", "clone", "--quiet", template, clone, cwd=tmp_path)
    for path in (clone / "template").glob("*requirements*.jinja"):
        path.write_text(path.read_text().replace("    --hash=", f"    --hash=sha256:{'0' * 64} \\\n    --hash=", 1))
    makefile = clone / "template" / "Makefile.jinja"
    makefile.write_text(f"{makefile.read_text()}\nolder:\n")
    run("git", "commit", "--quiet", "--all", "--message", "Older", cwd=clone)
    run("git", "tag", "v998.0.0", cwd=clone)
    return clone


@pytest.fixture
def older(releases: Path, tmp_path: Path) -> Render:
    def older(**answers: Any) -> Path:
        directory = tmp_path / "older"
        run_copy(str(releases), directory, data=answers, defaults=True, vcs_ref="v998.0.0", quiet=True)
        git_init(directory)
        return directory

    return older


def update(project: Path, **answers: Any) -> None:
    """Update a project, and check that there is no conflict."""
    commit_all(project, "Mine", "--allow-empty")
    run_update(project, data=answers, defaults=True, overwrite=True)
    assert "older:" not in (project / "Makefile").read_text()
    assert list(project.rglob("*.rej")) == []
    run("git", "diff", "--check", cwd=project)
    assert run("git", "ls-files", "--unmerged", cwd=project).stdout == ""


def locks(project: Path) -> dict[str, str]:
    return {lock: (project / lock).read_text() for lock in EXTRAS if (project / lock).exists()}


def refresh(project: Path) -> None:
    """Change every version, hash and indentation, as `make lock` of the owner does."""
    for name, lock in locks(project).items():
        text = re.sub(r"==(\d+)", lambda found: f"=={int(found[1]) + 1}", lock)
        (project / name).write_text(re.sub(r"sha256:(\w{8})", r"sha256:00000000", text).replace("\n    --", "\n   --"))


def test_update_keeps_lockfiles_and_names_the_lock_command(older: Render, capfd: pytest.CaptureFixture[str]) -> None:
    project = older()
    refresh(project)
    before = locks(project)
    update(project)
    assert locks(project) == before
    assert "make lock args=--no-upgrade" in capfd.readouterr().err


def test_change_from_pip_tools_to_uv(older: Render, capfd: pytest.CaptureFixture[str]) -> None:
    project = older()
    refresh(project)
    update(project, dependency_tool="uv")
    assert locks(project) == {}
    assert "[dependency-groups]" in (project / "pyproject.toml").read_text()
    assert "The update does not change the lockfiles." not in capfd.readouterr().err


def test_change_from_uv_to_pip_tools(older: Render, render: Render) -> None:
    project = older(dependency_tool="uv")
    update(project, dependency_tool="pip-tools")
    assert locks(project) == locks(render())
    assert "[project.optional-dependencies]" in (project / "pyproject.toml").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [("pip-tools", "uv"), ("uv", "pip-tools")])
def test_make_works_after_a_change_of_tool(older: Render, before: str, after: str) -> None:
    """The existing `.venv` is that of the former tool."""
    project = older(database_backend="sqlite", dependency_tool=before)
    run("make", "lint", cwd=project)
    update(project, dependency_tool=after)
    run("make", "lint", "typecheck", "test", cwd=project)
