"""Plant each bug of mutations.toml alone in a default render, and name the first test that finds it.

    make mutants                        test the working tree, without files that git does not track
    make mutants args="--at ea2be86"    test another revision
    make mutants args="--only 'NAME'"   plant only this bug; can be repeated

The render's own tests run first. If they pass, the tests of tests/rendered run in the render. If these pass too, the
template's slow tests of faults and tables run. A test finds a bug if it fails in its suite, and again when it runs
alone. The exit status is 1 if no test finds one of the bugs.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import NamedTuple

import yaml
from copier import run_copy

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from conftest import GIT_IDENTITY, Environment, make_environment, run, run_unchecked  # noqa: E402

MUTATIONS = Path(__file__).with_name("mutations.toml")
TEMPLATE_TESTS = ["tests/test_service.py", "tests/test_faults.py", "-k", "tables or test_faults"]
FOLDERS = ("src", "alembic", "scripts")
"""Directories of a render in which bugs are planted."""

TIMEOUT = 900
"""Seconds after which a suite is stopped."""


class Mutation(NamedTuple):
    name: str
    old: tuple[str, ...]
    new: str

    def plant(self, directory: Path) -> list[Path]:
        """Replace the text, and return the file of each place."""
        places = []
        for folder in FOLDERS:
            for path in sorted((directory / folder).rglob("*.py*")):  # a file of the template can have .jinja after .py
                if not path.is_file() or path.suffix == ".pyc":
                    continue
                text = path.read_text("utf-8")
                for old in self.old:
                    places += [path] * text.count(old)
                    text = text.replace(old, self.new)
                path.write_text(text, "utf-8")
        return places

    def check(self, render: Path) -> None:
        """Check that the bug's text is in exactly one place of a render.

        Raises:
            SystemExit: the text is in no place or in several.
        """
        with TemporaryDirectory() as directory:
            places = self.plant(shutil.copytree(render, Path(directory) / "project"))
        if len(places) != 1:
            found = ", ".join(path.name for path in places) or "no file"
            raise SystemExit(f"The text of {self.name!r} must be in one place, but is in {found}. Correct {MUTATIONS}.")


NO_BUG = Mutation("no bug", (), "")


class Finding(NamedTuple):
    """The first failing test of each suite."""

    owner: str | None = None
    template: str | None = None


class Suites:
    """Runs the suites of one revision, in copies with a planted bug.

    Args:
        template: a clone of the template at this revision.
        render: a render of the clone, with the default answers.
        environment: an environment with the render's packages.
        url: the URL of a PostgreSQL server, on which the rendered tests create their databases.
    """

    def __init__(self, template: Path, render: Path, environment: Environment, url: str) -> None:
        self._template = template
        self._render = render
        self._environment = environment
        self._url = url

    def run(self, mutation: Mutation) -> Finding:
        with TemporaryDirectory(prefix="mutant-") as directory:
            finding = self._find(mutation, Path(directory))
        print(f"{mutation.name}: {finding.owner or finding.template or 'all tests pass'}", file=sys.stderr, flush=True)
        return finding

    def _find(self, mutation: Mutation, directory: Path) -> Finding:
        project, clone = directory / "project", directory / "template"
        shutil.copytree(self._render, project)
        if mutation is not NO_BUG:
            mutation.plant(project)
        python, variables = self._environment.python, self._environment.variables(project, TEST_DATABASE_URL=self._url)
        if failing := first_failure(python, project, ["tests"], **variables):
            return Finding(owner=failing)
        tests = self._add_rendered_tests(project)
        if tests and (failing := first_failure(python, project, tests, **variables)):
            return Finding(template=failing)
        if mutation is NO_BUG:
            return Finding()
        run("git", "clone", "--quiet", "--shared", self._template, clone, cwd=directory)
        mutation.plant(clone / "template")
        return Finding(template=first_failure(Path(sys.executable), clone, TEMPLATE_TESTS))

    def _add_rendered_tests(self, project: Path) -> list[str]:
        """Copy the tests of tests/rendered into a render, and return their paths there."""
        helper = self._template / "tests" / "rendered_tests.py"
        if not helper.exists():
            return []
        before = {*project.rglob("test_*.py")}
        answers = yaml.safe_load((project / ".copier-answers.yml").read_text("utf-8"))
        load(helper).add_rendered_tests(project, answers)
        return sorted(str(path.relative_to(project)) for path in {*project.rglob("test_*.py")} - before)


def first_failure(python: Path, directory: Path, tests: list[str], **variables: str) -> str | None:
    """Return the first test that fails twice: in its suite and alone. A test that fails only once is flaky."""
    for _ in range(2):
        failing = run_tests(python, directory, tests, **variables)
        if failing is None or failing.startswith("hangs"):
            return failing
        if run_tests(python, directory, [failing], **variables):
            return failing
    return None


def run_tests(python: Path, directory: Path, tests: list[str], **variables: str) -> str | None:
    """Run tests up to the first failure, and return the name of the failed test."""
    last_failed = directory / ".pytest_cache" / "v" / "cache" / "lastfailed"
    last_failed.unlink(missing_ok=True)
    with subprocess.Popen(
        [python, "-m", "pytest", "-n0", "-x", "-v", "--tb=short", *tests],
        cwd=directory,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # so that killpg stops its children too
    ) as process:
        try:
            output, _ = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return f"hangs: {process.communicate()[0].splitlines()[-1]}"
    if process.returncode == 0:
        return None
    if not last_failed.exists():
        raise SystemExit(f"{output[-3000:]}\nThe suite in {directory} did not run. Its last output is above.")
    failed: dict[str, bool] = json.loads(last_failed.read_text("utf-8"))
    return next(iter(failed))


def clone(directory: Path, revision: str | None) -> Path:
    """Clone the template at a revision, or with the working tree if the revision is None."""
    commit = revision or run("git", "stash", "create", cwd=ROOT).stdout.strip() or "HEAD"
    sha = run_unchecked("git", "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}", cwd=ROOT).stdout.strip()
    if not sha:
        raise SystemExit(f"The revision {revision} does not exist. Name a commit, tag or branch.")
    run("git", "clone", "--quiet", "--shared", ROOT, directory, cwd=ROOT)
    run("git", "checkout", "--quiet", "--detach", sha, cwd=directory)
    return directory


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def table(findings: Iterable[tuple[Mutation, Finding]]) -> str:
    rows = [("bug", "found by (owner's suite)", "found by (template's suite)")]
    rows += [(mutation.name, finding.owner or "-", finding.template or "-") for mutation, finding in findings]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def read_mutations() -> list[Mutation]:
    read = tomllib.loads(MUTATIONS.read_text("utf-8"))["mutations"]
    return [Mutation(mutation["name"], tuple(mutation["old"]), mutation["new"]) for mutation in read]


def main() -> None:
    mutations = {mutation.name: mutation for mutation in read_mutations()}
    parser = argparse.ArgumentParser(prog="make mutants", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--at", metavar="REVISION", help="plant the bugs in this revision")
    parser.add_argument(
        "--only", metavar="NAME", choices=mutations, action="append", help="plant only this bug; can be repeated"
    )
    options = parser.parse_args()
    chosen = [mutations[name] for name in options.only or mutations]
    os.environ.update(GIT_IDENTITY)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with TemporaryDirectory(prefix="mutants-") as directory:
        template, render = clone(Path(directory) / "template", options.at), Path(directory) / "render"
        run_copy(str(template), render, vcs_ref="HEAD", defaults=True, quiet=True)
        for mutation in chosen:
            mutation.check(render)
        environment = make_environment(render, Path(directory))
        server = load(next((render / "tests").rglob("postgres_server.py"))).PostgresServer()
        with server, ThreadPoolExecutor(os.cpu_count()) as executor:
            suites = Suites(template, render, environment, server.url)
            results = executor.map(suites.run, [NO_BUG, *chosen])
            if any(clean := next(results)):
                results.close()  # type: ignore[attr-defined]  # cancels the waiting runs
                raise SystemExit(f"{clean.owner or clean.template} fails without a planted bug. Fix it first.")
            findings = list(results)
    found = sum(map(any, findings))
    print(f"{options.at or 'working tree'}: {found} of {len(chosen)} bugs found\n")
    print(table(zip(chosen, findings, strict=True)))
    if found < len(chosen):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
