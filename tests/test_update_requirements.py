"""The rendered scripts/update_requirements.py, with real compiles, most of them from an index of tiny packages."""

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
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import Environment, EnvironmentOf, Render, run_unchecked
from processes import wait_until

FILES = ("requirements-dev.txt", "requirements.txt")
ESCAPE = "\x1b["

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
BROKEN = ("gamma", 2)
"""A release that cannot be built."""


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("index")
    for name, version, requires in PACKAGES:
        about = f"{name}-{version}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        with zipfile.ZipFile(package(directory, name) / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{about}/METADATA", metadata + "".join(f"Requires-Dist: {other}\n" for other in requires))
            wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{about}/RECORD", "")
    name, version = BROKEN
    with tarfile.open(package(directory, name) / f"{name}-{version}.tar.gz", "w:gz") as sdist:
        for path, text in {
            "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
            "backend.py": "raise RuntimeError('no compiler')\n",
        }.items():
            member = tarfile.TarInfo(f"{name}-{version}/{path}")
            member.size = len(text)
            sdist.addfile(member, io.BytesIO(text.encode()))
    for page in directory.iterdir():
        links = (f'<a href="{file.name}">{file.name}</a>' for file in page.iterdir())
        (page / "index.html").write_text("<!DOCTYPE html>" + "".join(links))
    return directory


def package(index: Path, name: str) -> Path:
    (index / name).mkdir(exist_ok=True)
    return index / name


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
            "CI": "",
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

    def contents(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.directory.iterdir() if path.is_file()}

    def pins(self, name: str) -> dict[str, str]:
        lock = (self.directory / name).read_text()
        return dict(re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE))


@pytest.fixture
def tiny(render: Render, environment: EnvironmentOf, index: Path, tmp_path: Path) -> Project:
    """A project with two dependencies, pinned to their older releases."""
    directory = tmp_path / "tiny"
    (directory / "scripts").mkdir(parents=True)
    script = Path("scripts", "update_requirements.py")
    (directory / script).write_bytes((render() / script).read_bytes())
    project = Project(directory, environment(render()), index.as_uri())
    project.needs(["alpha"], ["beta"])
    (directory / FILES[0]).write_text("alpha==1\nbeta==1\nshared==1\n")
    (directory / FILES[1]).write_text("alpha==1\nshared==1\n")
    return project


OLD = ({"alpha": "1", "beta": "1", "shared": "1"}, {"alpha": "1", "shared": "1"})
NEW = ({"alpha": "2", "beta": "2", "shared": "2"}, {"alpha": "2", "shared": "2"})


def assert_pins(project: Project, *expected: dict[str, str]) -> None:
    assert tuple(map(project.pins, FILES)) == expected


def assert_untouched(project: Project, before: dict[str, bytes]) -> None:
    assert project.contents() == before
    assert list(project.directory.glob(".requirements-*")) == []


def test_it_takes_the_newest_and_shows_what_changed(tiny: Project, index: Path) -> None:
    updated = tiny.update()
    assert updated.returncode == 0, updated.stderr
    assert_pins(tiny, *NEW)
    timeless = re.sub(r"\d+ s$", "0 s", updated.stdout, flags=re.MULTILINE)
    assert timeless.splitlines() == [
        "  compiling requirements-dev.txt … 0 s",
        "  compiling requirements.txt … 0 s",
        "  requirements-dev.txt",
        "    alpha 1 → 2",
        "    beta 1 → 2",
        "    shared 1 → 2",
        "  requirements.txt",
        "    alpha 1 → 2",
        "    shared 1 → 2",
        "requirements-dev.txt and requirements.txt written",
    ]
    lock = (tiny.directory / "requirements.txt").read_text()
    wheel = (index / "alpha" / "alpha-2-py3-none-any.whl").read_bytes()
    assert f"alpha==2 \\\n    --hash=sha256:{hashlib.sha256(wheel).hexdigest()}" in lock
    assert "python scripts/update_requirements.py" in lock
    assert "-c requirements-dev.txt" in lock
    assert "file:" not in lock
    before = tiny.contents()
    again = tiny.update("--check")
    assert (again.returncode, again.stdout.splitlines()[-2:]) == (0, ["  nothing changes", "Up to date"])
    assert_untouched(tiny, before)


def test_it_makes_the_first_locks(tiny: Project) -> None:
    for name in FILES:
        (tiny.directory / name).unlink()
    updated = tiny.update()
    assert updated.returncode == 0, updated.stderr
    assert "    + alpha 2" in updated.stdout
    assert_pins(tiny, *NEW)


def test_no_upgrade_keeps_pins_and_drops_what_is_not_needed(tiny: Project) -> None:
    tiny.needs(["shared"], ["beta", "gamma<2"])
    updated = tiny.update("--no-upgrade")
    assert updated.returncode == 0, updated.stderr
    assert_pins(tiny, {"beta": "1", "gamma": "1", "shared": "1"}, {"shared": "1"})
    assert {"    - alpha 1", "    + gamma 1"} < set(updated.stdout.splitlines())


def test_upgrade_package_moves_it_alone(tiny: Project) -> None:
    updated = tiny.update("--upgrade-package", "beta")
    assert updated.returncode == 0, updated.stderr
    assert_pins(tiny, {**OLD[0], "beta": "2"}, OLD[1])
    updated = tiny.update("--upgrade-package=shared", "--upgrade-package=alpha")
    assert updated.returncode == 0, updated.stderr
    assert_pins(tiny, *NEW)
    unknown = tiny.update("--upgrade-package=gamma<2")
    assert unknown.returncode == 2
    assert "requirements-dev.txt has no gamma<2" in unknown.stderr


def test_check_tells_what_pyproject_asks_for(tiny: Project) -> None:
    assert tiny.update("--check").returncode == 0
    tiny.needs(["alpha", "gamma<2"], ["beta"])
    before = tiny.contents()
    checked = tiny.update("--check")
    assert checked.returncode == 1
    assert "    + gamma 1" in checked.stdout
    assert checked.stderr == "Not up to date: run python scripts/update_requirements.py --no-upgrade\n"
    assert_untouched(tiny, before)


def test_a_dry_run_changes_nothing(tiny: Project) -> None:
    before = tiny.contents()
    updated = tiny.update("--dry-run")
    assert updated.returncode == 0
    assert "    alpha 1 → 2" in updated.stdout
    assert_untouched(tiny, before)


def test_a_merge_conflict_in_the_locks_is_mended(tiny: Project) -> None:
    (tiny.directory / FILES[0]).write_text("<<<<<<< ours\nalpha==1\n=======\nalpha==2\n>>>>>>> theirs\nbeta==1\n")
    updated = tiny.update()
    assert updated.returncode == 0, updated.stderr
    assert_pins(tiny, *NEW)


def test_metadata_may_come_from_the_code(tiny: Project) -> None:
    tiny.needs(["alpha"], ["beta"])
    pyproject = tiny.directory / "pyproject.toml"
    backend = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    pyproject.write_text(backend + pyproject.read_text().replace('version = "1"', 'dynamic = ["version"]'))
    (tiny.directory / "backend.py").write_text(
        "from pathlib import Path\n\n\ndef prepare_metadata_for_build_wheel(directory, settings=None):\n"
        "    about = Path(directory, 'my_service-1.dist-info')\n    about.mkdir()\n"
        "    lines = ['Metadata-Version: 2.1', 'Name: my-service', 'Version: 1', 'Requires-Dist: alpha',\n"
        "             'Provides-Extra: dev', 'Requires-Dist: beta; extra == \"dev\"', '']\n"
        "    (about / 'METADATA').write_text('\\n'.join(lines))\n    return about.name\n\n\n"
        "def build_wheel(directory, settings=None, metadata=None):\n    raise NotImplementedError\n"
    )
    updated = tiny.update()
    assert updated.returncode == 0, updated.stderr
    assert_pins(tiny, *NEW)


def test_where_development_first_fails_production_is_first(tiny: Project) -> None:
    """A tool's newest release cannot be built; production, which bounds it from afar, never asks for that release."""
    tiny.needs(["zeta"], ["gamma"])
    updated = tiny.update()
    assert updated.returncode == 0, updated.stderr
    assert_pins(tiny, {"eta": "1", "gamma": "1", "zeta": "1"}, {"eta": "1", "gamma": "1", "zeta": "1"})
    words = [line.split(" … ")[0].strip() for line in updated.stdout.splitlines()]
    assert words[:4] == [
        "compiling requirements-dev.txt",
        "That failed; now production first",
        "compiling requirements.txt",
        "compiling requirements-dev.txt",
    ]
    assert "-c requirements.txt" in (tiny.directory / FILES[0]).read_text()


def test_a_conflict_is_shown_as_pip_compile_tells_it(tiny: Project) -> None:
    tiny.needs(["alpha==2", "shared<2"], ["beta"])
    before = tiny.contents()
    updated = tiny.update()
    assert updated.returncode == 1
    assert "\nThe conflict is caused by:\n" in updated.stderr
    assert "alpha 2 depends on shared>=2" in updated.stderr
    assert "Traceback" not in updated.stderr
    assert updated.stderr.endswith("\nFailed: nothing was changed\n")
    assert_untouched(tiny, before)


def test_without_a_network_nothing_changes(tiny: Project) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        index = f"http://127.0.0.1:{unused.getsockname()[1]}/simple"
        before = tiny.contents()
        updated = tiny.update(PIP_INDEX_URL=index, PIP_RETRIES="1")
    assert updated.returncode == 1
    assert "Connection refused" in updated.stderr
    assert "Traceback" not in updated.stderr
    assert updated.stderr.endswith("\nFailed: nothing was changed\n")
    assert_untouched(tiny, before)


INTERRUPTED = """
import pathlib, runpy
replace = pathlib.Path.replace
def interrupted(path, target):
    if target.name == "requirements.txt":
        raise {error}
    return replace(path, target)
pathlib.Path.replace = interrupted
runpy.run_path("scripts/update_requirements.py", run_name="__main__")
"""


@pytest.mark.parametrize("existing", FILES)
@pytest.mark.parametrize(("error", "status"), [("KeyboardInterrupt", 130), ("OSError('disk full')", 1)])
def test_the_first_file_is_put_back_where_the_second_is_not_written(
    tiny: Project, existing: str, error: str, status: int
) -> None:
    for name in FILES:
        if name != existing:
            (tiny.directory / name).unlink()
    before = tiny.contents()
    python = tiny.command[0]
    updated = run_unchecked(python, "-c", INTERRUPTED.format(error=error), cwd=tiny.directory, **tiny.variables)
    assert updated.returncode == status
    assert "    alpha" in updated.stdout or "    + alpha" in updated.stdout
    assert "Traceback" not in updated.stderr
    assert_untouched(tiny, before)


@contextlib.contextmanager
def compiling(project: Project, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[], str]]]:
    """An update whose compile waits for an index that never answers."""
    output = tmp_path / "output"
    with socket.create_server(("127.0.0.1", 0)) as silent, output.open("wb") as file:
        silent.settimeout(60)
        index = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        process = project.start(file.fileno(), PIP_INDEX_URL=index, PIP_DEFAULT_TIMEOUT="60")
        try:
            with silent.accept()[0]:
                yield process, output.read_text
        finally:
            process.kill()
            process.wait()


def children(process: subprocess.Popen[bytes]) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def test_a_killed_compile_changes_nothing(tiny: Project, tmp_path: Path) -> None:
    before = tiny.contents()
    with compiling(tiny, tmp_path) as (process, output):
        (compile_,) = children(process)
        os.kill(compile_, signal.SIGKILL)
        assert process.wait(10) == 1
    assert output().endswith("pip-compile was killed by signal 9\nFailed: nothing was changed\n")
    assert_untouched(tiny, before)


def wait_for_end(pid: int) -> None:
    """Wait for a process that may be left as a zombie, without a command line."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        wait_until(lambda: not Path(f"/proc/{pid}/cmdline").read_text())


@pytest.mark.parametrize(("number", "everyone"), [(signal.SIGINT, True), (signal.SIGTERM, False)])
def test_who_interrupts_it_finds_everything_as_it_was(
    tiny: Project, tmp_path: Path, number: signal.Signals, everyone: bool
) -> None:
    before = tiny.contents()
    with compiling(tiny, tmp_path) as (process, output):
        (compile_,) = children(process)
        (os.killpg if everyone else os.kill)(process.pid, number)
        assert process.wait(10) == 130
        wait_for_end(compile_)
    assert output().endswith("Interrupted: nothing was changed\n")
    assert "Traceback" not in output()
    assert_untouched(tiny, before)


def on_a_terminal(project: Project, *options: str, **variables: str) -> str:
    ours, theirs = pty.openpty()
    process = project.start(theirs, *options, **variables)
    os.close(theirs)
    output = b""
    with contextlib.suppress(OSError):  # Linux's end of a terminal
        while chunk := os.read(ours, 4096):
            output += chunk
    process.wait()
    os.close(ours)
    return output.decode()


@pytest.mark.parametrize(
    ("production", "symbol", "colour"),
    [(["alpha"], "✅ requirements-dev.txt and", 32), (["alpha==2", "shared<2"], "❌ Failed", 31)],
    ids=["success", "failure"],
)
def test_a_terminal_gets_symbols_and_colours(tiny: Project, production: list[str], symbol: str, colour: int) -> None:
    tiny.needs(production, ["beta"])
    output = on_a_terminal(tiny)
    assert f"{ESCAPE}{colour}m{symbol}" in output
    if symbol.startswith("❌"):
        assert f"{ESCAPE}33m⚠️ That failed; now production first" in output


def test_a_terminal_sees_the_seconds_pass(tiny: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        index = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        output = on_a_terminal(tiny, PIP_INDEX_URL=index, PIP_DEFAULT_TIMEOUT="2")
    assert re.search(r"\r  compiling requirements-dev.txt … 2 s\r", output)
    assert "compiling requirements-dev.txt … failed\r\n" in output


@pytest.mark.parametrize("variable", ["NO_COLOR", "CI"])
def test_a_terminal_that_wants_it_plain_gets_it_plain(tiny: Project, variable: str) -> None:
    output = on_a_terminal(tiny, **{variable: "true"})
    assert "\nrequirements-dev.txt and requirements.txt written" in output
    assert ESCAPE not in output
    assert "\r  compiling" not in output


def test_an_encoding_without_symbols_is_no_obstacle(tiny: Project) -> None:
    updated = tiny.update(PYTHONUTF8="0", PYTHONIOENCODING="latin-1", PYTHONCOERCECLOCALE="0", LC_ALL="C")
    assert updated.returncode == 0, updated.stderr
    assert "alpha 1 ? 2" in updated.stdout
    assert_pins(tiny, *NEW)


@pytest.mark.slow
def test_a_fresh_render_is_up_to_date_and_can_be_refreshed(project: Render, environment: EnvironmentOf) -> None:
    service = project()
    python = environment(service).python
    checked = run_unchecked(python, "scripts/update_requirements.py", "--check", cwd=service)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    started = time.time()
    updated = run_unchecked(python, "scripts/update_requirements.py", cwd=service)
    assert updated.returncode == 0, updated.stdout + updated.stderr
    locks = [Project(service, environment(service), "").pins(name) for name in FILES]
    assert locks[1].items() < locks[0].items()
    assert all((service / name).stat().st_mtime > started for name in FILES)
    environment(service).run(service, "pip", "check")
