"""Run the rendered scripts/update_requirements.py with the real pip-compile and an index of tiny packages."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import pty
import re
import signal
import socket
import subprocess
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

from conftest import Environment, EnvironmentOf, Render, run, run_unchecked
from processes import wait_until

FILES = ("requirements-dev.txt", "requirements.txt")
PACKAGES = [
    ("alpha", 1, ["shared"]),
    ("alpha", 2, ["shared>=2"]),
    ("beta", 1, ["shared"]),
    ("beta", 2, ["shared"]),
    ("eta", 1, ["gamma<2"]),
    ("gamma", 1, []),
    ("shared", 1, []),
    ("shared", 2, []),
    ("zeta", 1, ["eta"]),
]
OLD = ({"alpha": "1", "beta": "1", "shared": "1"}, {"alpha": "1", "shared": "1"})
NEW = ({"alpha": "2", "beta": "2", "shared": "2"}, {"alpha": "2", "shared": "2"})

IN_PRODUCTION_COMPILE = """
import os, sys, time
if "--output-file=requirements.txt" in sys.orig_argv:
    {statement}
"""
"""Code of a sitecustomize.py, which Python runs at its start. It acts only in the compile of requirements.txt."""


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a package index with PACKAGES, and with gamma 2, which cannot be built."""
    directory = tmp_path_factory.mktemp("index")
    for name, version, requires in PACKAGES:
        (directory / name).mkdir(exist_ok=True)
        about = f"{name}-{version}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        with zipfile.ZipFile(directory / name / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{about}/METADATA", metadata + "".join(f"Requires-Dist: {other}\n" for other in requires))
            wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{about}/RECORD", "")
    broken = b'[build-system]\nrequires = []\nbuild-backend = "missing"\n'
    with tarfile.open(directory / "gamma" / "gamma-2.tar.gz", "w:gz") as sdist:
        member = tarfile.TarInfo("gamma-2/pyproject.toml")
        member.size = len(broken)
        sdist.addfile(member, io.BytesIO(broken))
    for page in directory.iterdir():
        links = (f'<a href="{file.name}">{file.name}</a>' for file in page.iterdir())
        (page / "index.html").write_text("<!DOCTYPE html>" + "".join(links))
    return directory


class Project:
    def __init__(self, directory: Path, python: Environment, index: str) -> None:
        self.directory = directory
        self.command = (python.python, "scripts/update_requirements.py")
        self.variables = {
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": index,
            "PIP_EXTRA_INDEX_URL": "",
            "PIP_FIND_LINKS": "",
            "PIP_RETRIES": "0",
            "PIP_CACHE_DIR": str(directory.parent / "pip"),
            "PIP_TOOLS_CACHE_DIR": str(directory.parent / "pip-tools"),
            "NO_COLOR": "",
        }

    def needs(self, production: list[str], development: list[str]) -> None:
        (self.directory / "pyproject.toml").write_text(
            f'[project]\nname = "my-service"\nversion = "1"\ndependencies = {production}\n'
            f"[project.optional-dependencies]\ndev = {development}\n"
        )

    def update(self, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return run_unchecked(*self.command, *options, cwd=self.directory, **{**self.variables, **variables})

    def start(self, output: int, *options: str, **variables: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, **self.variables, **variables}
        command: list[str | Path] = [*self.command, *options]
        return subprocess.Popen(
            command, cwd=self.directory, env=environment, stdout=output, stderr=output, start_new_session=True
        )

    def update_on_a_terminal(self, *options: str, **variables: str) -> tuple[int, str]:
        """Run the script on a pseudo-terminal. Return its exit status and output."""
        ours, theirs = pty.openpty()
        process = self.start(theirs, *options, **variables)
        os.close(theirs)
        output = b""
        with contextlib.suppress(OSError):  # Linux raises OSError at the end of the output.
            while chunk := os.read(ours, 4096):
                output += chunk
        os.close(ours)
        return process.wait(), output.decode()

    def state(self) -> dict[str, tuple[bytes, int]]:
        """Return the contents and modification times of the files. make compares the times."""
        files = (path for path in self.directory.iterdir() if path.is_file())
        return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}

    def pins(self) -> tuple[dict[str, str], ...]:
        locks = ((self.directory / name).read_text() for name in FILES)
        return tuple(dict(re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE)) for lock in locks)


@pytest.fixture
def tiny(render: Render, environment: EnvironmentOf, index: Path, tmp_path: Path) -> Project:
    """Return a project with two dependencies, pinned to their older releases."""
    directory = tmp_path / "tiny"
    (directory / "scripts").mkdir(parents=True)
    script = Path("scripts", "update_requirements.py")
    (directory / script).write_bytes((render() / script).read_bytes())
    project = Project(directory, environment(render()), index.as_uri())
    project.needs(["alpha"], ["beta"])
    for name, pins in zip(FILES, OLD, strict=True):
        (directory / name).write_text("".join(f"{package}=={version}\n" for package, version in pins.items()))
    return project


def test_update_pins_newest_releases_with_hashes_and_lists_changes(tiny: Project, index: Path) -> None:
    updated = tiny.update()
    assert updated.returncode == 0, updated.stderr
    assert tiny.pins() == NEW
    assert re.sub(r" \.+$", "", updated.stdout, flags=re.MULTILINE).splitlines() == [
        "Compiling requirements-dev.txt",
        "Compiling requirements.txt",
        "  requirements-dev.txt: alpha 1 -> 2",
        "  requirements-dev.txt: beta 1 -> 2",
        "  requirements-dev.txt: shared 1 -> 2",
        "  requirements.txt: alpha 1 -> 2",
        "  requirements.txt: shared 1 -> 2",
    ]
    assert updated.stderr == "Wrote requirements-dev.txt and requirements.txt.\n"
    lock = (tiny.directory / "requirements.txt").read_text()
    wheel = (index / "alpha" / "alpha-2-py3-none-any.whl").read_bytes()
    assert f"alpha==2 \\\n    --hash=sha256:{hashlib.sha256(wheel).hexdigest()}" in lock
    options = "--allow-unsafe --generate-hashes --strip-extras --constraint=requirements-dev.txt"
    assert f"\n#    pip-compile {options} --output-file=requirements.txt pyproject.toml\n" in lock
    assert "-c requirements-dev.txt" in lock
    assert "file:" not in lock


def test_command_in_the_header_upgrades_all_packages(tiny: Project) -> None:
    """Renovate deletes each file, and runs this command."""
    assert tiny.update("--no-upgrade").returncode == 0
    for name in FILES:
        (arguments,) = re.findall(r"^#    pip-compile (.*)", (tiny.directory / name).read_text(), re.MULTILINE)
        (tiny.directory / name).unlink()
        run(tiny.command[0], "-m", "piptools", "compile", *arguments.split(), cwd=tiny.directory, **tiny.variables)
    assert tiny.pins() == NEW


@pytest.mark.parametrize("contents", [None, "<<<<<<< ours\nalpha==1\n=======\nalpha==2\n>>>>>>> theirs\n"])
def test_update_replaces_missing_and_conflicted_files(tiny: Project, contents: str | None) -> None:
    for name in FILES:
        (tiny.directory / name).unlink()
        if contents:
            (tiny.directory / name).write_text(contents)
    status, output = tiny.update_on_a_terminal()
    assert status == 0
    assert tiny.pins() == NEW
    assert "\x1b[32m✅ Wrote requirements-dev.txt and requirements.txt.\x1b[0m" in output


def test_no_upgrade_keeps_pins_and_drops_unneeded_packages(tiny: Project) -> None:
    tiny.needs(["shared"], ["beta", "gamma<2"])
    updated = tiny.update("--no-upgrade")
    assert updated.returncode == 0, updated.stderr
    assert tiny.pins() == ({"beta": "1", "gamma": "1", "shared": "1"}, {"shared": "1"})
    assert "  requirements-dev.txt: alpha 1 -> none\n  requirements-dev.txt: gamma none -> 1\n" in updated.stdout


def test_upgrade_package_upgrades_only_the_named_packages(tiny: Project) -> None:
    updated = tiny.update("--upgrade-package", "Beta", "--upgrade-package=shared<3")
    assert updated.returncode == 0, updated.stderr
    assert tiny.pins() == ({"alpha": "1", "beta": "2", "shared": "2"}, {"alpha": "1", "shared": "2"})
    unknown = tiny.update("--upgrade-package=gamma<2")
    assert unknown.returncode == 2
    assert "requirements-dev.txt does not pin gamma." in unknown.stderr


def test_check_fails_only_if_pyproject_needs_other_pins(tiny: Project) -> None:
    with (tiny.directory / "requirements.txt").open("a") as lock:
        lock.write("colorama==1 ; sys_platform == 'win32' \\\n    --hash=sha256:0\n")
    before = tiny.state()
    status, output = tiny.update_on_a_terminal("--check", NO_COLOR="1")
    assert (status, output.splitlines()[-1]) == (0, "Up to date.")
    assert "\x1b" not in output
    assert tiny.state() == before
    tiny.needs(["alpha", "gamma<2"], ["beta"])
    before = tiny.state()
    checked = tiny.update("--check")
    assert checked.returncode == 1
    assert "  requirements.txt: gamma none -> 1" in checked.stdout
    assert (
        checked.stderr == "Pins do not match pyproject.toml. Run: python scripts/update_requirements.py --no-upgrade\n"
    )
    assert tiny.state() == before


def test_dry_run_lists_changes_and_changes_nothing(tiny: Project) -> None:
    before = tiny.state()
    status, output = tiny.update_on_a_terminal("--dry-run")
    assert status == 0
    assert "  requirements.txt: alpha 1 -> 2" in output
    assert "\x1b[33m⚠️ Dry run. Both files are unchanged.\x1b[0m" in output
    assert tiny.state() == before


def test_order_is_reversed_if_development_first_fails(tiny: Project) -> None:
    """Only requirements.txt needs gamma<2. requirements-dev.txt alone would get gamma 2, which cannot be built."""
    tiny.needs(["zeta"], ["gamma"])
    updated = tiny.update()
    assert updated.returncode == 0, updated.stderr
    assert tiny.pins() == ({"eta": "1", "gamma": "1", "zeta": "1"},) * 2
    assert re.findall(r"Compiling (\S+)", updated.stdout) == [FILES[0], FILES[1], FILES[0]]
    assert "Failed to build 'gamma'" in updated.stderr
    assert "Failed. Trying requirements.txt first." in updated.stderr
    assert "-c requirements.txt" in (tiny.directory / FILES[0]).read_text()


def test_conflict_shows_the_error_of_pip_compile_and_changes_nothing(tiny: Project) -> None:
    tiny.needs(["alpha==2", "shared<2"], ["beta"])
    before = tiny.state()
    status, output = tiny.update_on_a_terminal()
    assert status == 1
    assert (
        "  The conflict is caused by:\r\n      The user requested shared<2\r\n      alpha 2 depends on shared>=2"
        in output
    )
    assert "Processing" not in output
    assert "Traceback" not in output
    assert "\x1b[33m⚠️ Failed. Trying requirements.txt first.\x1b[0m" in output
    assert "\x1b[31m❌ Failed. Both files are restored.\x1b[0m" in output
    assert tiny.state() == before


def test_unreachable_index_is_reported_and_changes_nothing(tiny: Project) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        index = f"http://127.0.0.1:{unused.getsockname()[1]}/simple"
        before = tiny.state()
        updated = tiny.update(PIP_INDEX_URL=index, PIP_RETRIES="1")
    assert updated.returncode == 1
    assert "Connection refused" in updated.stderr
    assert "Traceback" not in updated.stderr
    assert updated.stderr.endswith("\nFailed. Both files are restored.\n")
    assert tiny.state() == before


def test_failure_of_the_second_compile_restores_both_files(tiny: Project) -> None:
    """sitecustomize.py runs in pip-compile only because the script passes PYTHONPATH on."""
    (tiny.directory / FILES[0]).unlink()
    (tiny.directory / "sitecustomize.py").write_text(IN_PRODUCTION_COMPILE.format(statement="os._exit(3)"))
    before = tiny.state()
    updated = tiny.update(PYTHONPATH=str(tiny.directory))
    assert updated.returncode == 1
    assert re.findall(r"Compiling (\S+)", updated.stdout) == [FILES[0], FILES[1], FILES[1]]
    assert updated.stderr.endswith("\nFailed. Both files are restored.\n")
    assert tiny.state() == before


@pytest.mark.parametrize(("number", "everyone"), [(signal.SIGINT, True), (signal.SIGTERM, False)])
def test_interruption_restores_both_files(
    tiny: Project, tmp_path: Path, number: signal.Signals, everyone: bool
) -> None:
    (tiny.directory / "sitecustomize.py").write_text(IN_PRODUCTION_COMPILE.format(statement="time.sleep(60)"))
    before = tiny.state()
    output = tmp_path / "output"
    with output.open("wb") as file:
        process = tiny.start(file.fileno(), PYTHONPATH=str(tiny.directory))
    try:
        wait_until(lambda: "Compiling requirements.txt .." in output.read_text())
        assert tiny.state() != before
        (pip_compile,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        (os.killpg if everyone else os.kill)(process.pid, number)
        assert process.wait(10) == 130
    finally:
        process.kill()
        process.wait()
    assert output.read_text().endswith("\nInterrupted. Both files are restored.\n")
    assert "Traceback" not in output.read_text()
    assert tiny.state() == before
    assert not Path("/proc", pip_compile).exists()


@pytest.mark.slow
def test_new_project_is_up_to_date_and_can_be_upgraded(project: Render, environment: EnvironmentOf) -> None:
    service = project()
    python = environment(service).python
    checked = run_unchecked(python, "scripts/update_requirements.py", "--check", cwd=service)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    started = time.time()
    updated = run_unchecked(python, "scripts/update_requirements.py", cwd=service)
    assert updated.returncode == 0, updated.stdout + updated.stderr
    development, production = Project(service, environment(service), "").pins()
    assert production.items() < development.items()
    assert all((service / name).stat().st_mtime > started for name in FILES)
    environment(service).run(service, "pip", "check")
