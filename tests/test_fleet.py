"""Run `standfast fleet` over bare repositories on this disk. git, Copier and make are real.

Most tests use a template of four files, because an update of a rendered service takes many seconds. One slow test
updates and verifies recorded owners.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from copier import run_copy

from conftest import ROOT, commit_all, git_init, replace, run
from owners import build_owner
from processes import wait_until
from release_impact import Impact, run_fleet, summary
from standfast.cli import main
from standfast.fleet import processes
from standfast.fleet.merge import keep_own_lines
from standfast.fleet.model import Conflict, FleetError
from standfast.fleet.model import Result as ProjectResult
from standfast.fleet.sources import short_names
from standfast.fleet.text import MAXIMUM, request_text

COPIER_YML = """
_answers_file: .copier-answers.yml
_subdirectory: template
package_name:
  type: str
  default: my_service
flavor:
  type: str
  default: vanilla
  choices: [vanilla, mint]
"""
MIGRATION = """
_migrations:
  - version: v2.0.0
    command: [touch, "{{ '/'.join([_copier_conf.dst_path | string, 'migrated']) }}"]
"""
MAKEFILE = """lint typecheck:
\t@echo $@

test:
\t@test ! -e broken && ! grep -q "^bad$$" notes.txt && echo "GH_TOKEN=$$GH_TOKEN"
"""
NOTICES = """
notices:
  - version: 1.1.0
    by_hand: true
    text: Freeze the notes.
  - version: 1.1.0
    by_hand: true
    when: flavor == 'mint'
    text: Water the mint.
"""
NOTES = "".join(f"line {number}\n" for number in range(1, 10))


@pytest.fixture(scope="session")
def small_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a template with the releases 1.0.0 and 1.1.0, and 2.0.0 with a script."""
    directory = tmp_path_factory.mktemp("template") / "template"
    files = {
        "copier.yml": COPIER_YML,
        "notices.yml": "notices: []\n",
        "template/{{ _copier_conf.answers_file }}.jinja": "{{ _copier_answers | to_nice_yaml }}",
        "template/notes.txt": NOTES,
        "template/Makefile": MAKEFILE,
    }
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    git_init(directory)
    run("git", "tag", "v1.0.0", cwd=directory)
    replace(directory, "template/notes.txt", "line 2", "second line")
    replace(directory, "template/notes.txt", "line 8", "`@router.get` ``` eight")
    (directory / "notices.yml").write_text(NOTICES)
    commit_all(directory, "Next")
    run("git", "tag", "v1.1.0", cwd=directory)
    (directory / "copier.yml").write_text(COPIER_YML + MIGRATION)
    commit_all(directory, "With a script")
    run("git", "tag", "v2.0.0", cwd=directory)
    return directory


Make = Callable[..., Path]
Fleet = Callable[..., Result]


@pytest.fixture
def remote(small_template: Path, tmp_path: Path) -> Make:
    """Return a function that creates a bare repository with a project, and the repository of its owner."""

    def make(
        name: str, *folders: str, version: str = "1.0.0", edit: tuple[str, str] | None = None, **answers: Any
    ) -> Path:
        owner = tmp_path / "owners" / name
        for folder in folders or (".",):
            run_copy(
                str(small_template), owner / folder, data=answers, vcs_ref=f"v{version}", defaults=True, quiet=True
            )
            if edit:
                replace(owner / folder, "notes.txt", *edit)
        run("git", "init", "--quiet", "--initial-branch", "main", cwd=owner)
        commit_all(owner, "Start")
        bare = tmp_path / "remotes" / f"{name}.git"
        run("git", "clone", "--quiet", "--bare", str(owner), str(bare), cwd=tmp_path)
        run("git", "remote", "add", "origin", str(bare), cwd=owner)
        return bare

    return make


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """Return a function that runs `standfast fleet`. `report.json` and `report.html` are in the current directory."""
    monkeypatch.chdir(tmp_path)

    def fleet(*arguments: str | Path, status: int = 0, to: str = "1.1.0") -> Result:
        options = ["--to", to, "--json", "report.json", "--html", "report.html"]
        result = CliRunner().invoke(main, ["fleet", *options, *map(str, arguments)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        assert result.exit_code == status, result.output
        return result

    return fleet


def write_list(*addresses: str | Path) -> Path:
    path = Path("fleet.txt")
    lines = [f"file://{address}" if isinstance(address, Path) else address for address in addresses]
    path.write_text("\n".join(["# the fleet", "", *lines]))
    return path


def projects() -> dict[str, dict[str, Any]]:
    return {project["name"]: project for project in json.loads(Path("report.json").read_text())["projects"]}


def on_branch(bare: Path, branch: str, path: str) -> str:
    return run("git", "show", f"{branch}:{path}", cwd=bare).stdout


def test_each_project_is_reported_although_some_are_broken(remote: Make, fleet: Fleet) -> None:
    addresses: list[str | Path] = [
        remote("current", version="1.1.0"),
        remote("plain"),
        remote("edited", edit=("line 5", "five"), flavor="mint"),
        remote("conflict", edit=("line 2", "zwei")),
        remote("mono", "services/a", "services/b"),
    ]
    other, invalid, empty = (remote(name) for name in ("other", "invalid", "empty"))
    for name, text in (("other", "a: 1\n"), ("invalid", "{")):
        owner = Path("owners", name)
        (owner / ".copier-answers.yml").write_text(text)
        commit_all(owner, "Break")
        run("git", "push", "--quiet", "origin", "HEAD", cwd=owner)
    unknown = remote("choice")
    replace(Path("owners/choice"), ".copier-answers.yml", "vanilla", "chocolate")
    commit_all(Path("owners/choice"), "Break")
    run("git", "push", "--quiet", "origin", "HEAD", cwd=Path("owners/choice"))
    shutil.rmtree(empty)
    run("git", "init", "--quiet", "--bare", str(empty), cwd=Path.cwd())
    missing: list[str | Path] = ["https://me:hunter2@127.0.0.1:1/missing.git", Path("/nowhere/lost")]
    result = fleet(write_list(*addresses, other, invalid, empty, unknown, *missing), status=1)
    found = projects()
    assert {name: project["state"] for name, project in found.items()} == {
        "current": "current",
        "conflict": "conflicts",
        **dict.fromkeys(("plain", "edited", "mono#services/a", "mono#services/b"), "merges"),
        **dict.fromkeys(("other", "invalid", "empty", "choice", "missing", "lost"), "failed"),
    }
    assert (found["plain"]["version"], found["plain"]["behind"]) == ("1.0.0", ["1.1.0"])
    assert found["edited"]["choices"] == {"flavor": "mint"}
    assert found["edited"]["notices"] == ["Freeze the notes.", "Water the mint."]
    assert found["plain"]["notices"] == ["Freeze the notes."]
    assert found["conflict"]["conflicts"] == [{"path": "notes.txt", "theirs": ["second line\n"]}]
    problems = {name: project["problem"] for name, project in found.items() if project["problem"]}
    assert problems.keys() == {"other", "invalid", "empty", "choice", "missing", "lost"}
    assert "has no .copier-answers.yml with a package_name" in problems["other"]
    assert "Cannot read .copier-answers.yml" in problems["invalid"]
    assert "has no commits" in problems["empty"]
    assert "chocolate" in problems["choice"]
    assert "Traceback" not in result.output
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["project", "version", "behind", "update", "by", "hand", "checks"]
    assert "conflict         1.0.0    1       conflicts in 1 file  1" in lines
    assert "Conflicts by file: notes.txt (1)" in lines
    assert result.stderr.splitlines()[-1] == "Error: 6 of 12 projects failed. See the lines below the table."
    assert "hunter2" not in result.output + Path("report.json").read_text() + Path("report.html").read_text()


def test_second_run_examines_only_what_changed(remote: Make, fleet: Fleet) -> None:
    first, second = remote("first"), remote("second")
    addresses = write_list(first, second)
    fleet(addresses)
    written = {path.name.partition("-")[0]: path.stat().st_mtime_ns for path in Path("standfast-fleet/logs").iterdir()}
    replace(Path("owners/second"), "notes.txt", "line 2", "zwei")
    commit_all(Path("owners/second"), "Change")
    run("git", "push", "--quiet", "origin", "HEAD", cwd=Path("owners/second"))
    # These files remain if a run is killed while git writes.
    for pattern in ("clones/*/refs/fleet/head", "templates/*/.git/index"):
        for path in Path("standfast-fleet").glob(pattern):
            path.with_name(f"{path.name}.lock").touch()
    fleet(addresses)
    again = {path.name.partition("-")[0]: path.stat().st_mtime_ns for path in Path("standfast-fleet/logs").iterdir()}
    assert again["first"] == written["first"]
    assert again["second"] > written["second"]
    assert {name: project["state"] for name, project in projects().items()} == {
        "first": "merges",
        "second": "conflicts",
    }
    fleet(addresses, to="1.0.0")
    assert {project["state"] for project in projects().values()} == {"current"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_run_continues_with_the_other_projects(
    remote: Make, fleet: Fleet, tmp_path: Path, number: signal.Signals
) -> None:
    addresses = [remote("first"), remote("hanging"), remote("last")]
    hanging = tmp_path / "owners/hanging"
    os.mkfifo(tmp_path / "pipe")
    replace(
        hanging, "Makefile", "lint typecheck:\n", f"lint typecheck:\n\t@touch {tmp_path}/started; cat {tmp_path}/pipe\n"
    )
    commit_all(hanging, "Wait for a pipe")
    run("git", "push", "--quiet", "origin", "HEAD", cwd=hanging)
    command = [sys.executable, "-m", "standfast", "fleet", str(write_list(*addresses))]
    options = ["--to", "1.1.0", "--jobs", "1", "--trust", "--verify"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([*command, *options], env=environment, stderr=subprocess.PIPE, text=True) as process:
        wait_until((tmp_path / "started").exists, 60, "make did not start.")
        process.send_signal(number)
        errors = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert errors.splitlines()[-1] == (
        "Error: Stopped. Run the same command again to continue with the other projects."
    )
    saved = {path.name.partition("-")[0] for path in Path("standfast-fleet/results").glob("*.json")}
    assert saved == {"first"}
    # The hanging command was stopped too. Otherwise, it would read from the pipe.
    with pytest.raises(OSError, match="No such device or address"):
        os.open(tmp_path / "pipe", os.O_WRONLY | os.O_NONBLOCK)


def test_nothing_of_the_template_runs_without_trust(remote: Make, fleet: Fleet, small_template: Path) -> None:
    addresses = write_list(remote("plain"))
    result = fleet(addresses, to="2.0.0", status=1)
    assert "plain    1.0.0    2       needs --trust" in result.stdout
    assert "--trust" in projects()["plain"]["problem"]
    assert not list(Path("standfast-fleet").glob("projects/*/migrated"))
    for option in (["--verify"], ["--run", "touch ran"]):
        refused = fleet(addresses, *option, status=1)
        assert refused.stderr.startswith("Error: --verify and --run execute code of the template")
    fleet(addresses, "--trust", to="2.0.0")
    assert projects()["plain"]["state"] == "merges"
    assert list(Path("standfast-fleet").glob("projects/*/migrated"))


def test_trust_covers_one_template(remote: Make, fleet: Fleet, small_template: Path, tmp_path: Path) -> None:
    """Everybody who can push to a project can name another template in its answers file."""
    foreign = tmp_path / "foreign"
    run("git", "clone", "--quiet", str(small_template), str(foreign), cwd=tmp_path)
    addresses = [remote("plain"), remote("hijacked")]
    replace(tmp_path / "owners/hijacked", ".copier-answers.yml", str(small_template), str(foreign))
    commit_all(tmp_path / "owners/hijacked", "Name another template")
    run("git", "push", "--quiet", "origin", "HEAD", cwd=tmp_path / "owners/hijacked")
    listed = write_list(*addresses)
    refused = fleet(listed, "--trust", to="2.0.0", status=1)
    assert "The projects have 2 templates" in refused.stderr
    assert "--template" in refused.stderr
    fleet(listed, "--trust", "--template", small_template, to="2.0.0", status=1)
    assert {name: project["state"] for name, project in projects().items()} == {
        "plain": "merges",
        "hijacked": "untrusted",
    }


def test_verify_tells_new_failures_from_former_ones(
    remote: Make, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GH_TOKEN", "hunter2")
    monkeypatch.setenv("MAKEFLAGS", "--dry-run")
    addresses = [remote("green"), remote("former"), remote("new"), remote("unprepared")]
    for name, file, text in (
        ("former", "broken", ""),
        ("new", "Makefile", MAKEFILE.replace("broken", "../nothing") + "\n"),
    ):
        (Path("owners") / name / file).write_text(text)
    replace(Path("owners/new"), "Makefile", "^bad$$", "second line")
    for name in ("former", "new"):
        commit_all(Path("owners") / name, "Change")
        run("git", "push", "--quiet", "origin", "HEAD", cwd=Path("owners") / name)
    result = fleet(write_list(*addresses), "--trust", "--verify")
    assert [line.split()[-1] for line in result.stdout.splitlines()[2:6]] == ["pass", "before", "fails", "pass"]
    assert "Merged projects that pass their checks: 2 of 4." in result.stdout
    checks = projects()["former"]["checks"]
    assert [(check["command"], check["passed"], check["before"]) for check in checks] == [
        ("make lint", True, None),
        ("make typecheck", True, None),
        ("make test", False, False),
    ]
    assert projects()["new"]["checks"][-1]["before"] is True
    log = Path(projects()["green"]["log"]).read_text()
    assert "$ make test\nGH_TOKEN=\n" in log
    assert "hunter2" not in log


def test_run_changes_the_commit_before_the_checks(remote: Make, fleet: Fleet) -> None:
    bare = remote("plain")
    fleet(write_list(bare), "--trust", "--verify", "--push", "--run", "cp notes.txt 'a copy.txt'")
    assert on_branch(bare, "template-update-1.1.0", "a copy.txt") == NOTES.replace("line 2", "second line").replace(
        "line 8", "`@router.get` ``` eight"
    )
    fleet(write_list(bare), "--trust", "--verify", "--run", "false", "--run", "touch more")
    assert [check["command"] for check in projects()["plain"]["checks"]] == ["false"]


def test_push_opens_a_branch_without_conflict_markers(remote: Make, fleet: Fleet) -> None:
    plain, conflict, mono = remote("plain"), remote("conflict", edit=("line 2", "zwei")), remote("mono", "a", "b")
    addresses = write_list(plain, conflict, mono, remote("current", version="1.1.0"))
    fleet(addresses, "--push")
    branch = "template-update-1.1.0"
    assert "second line" in on_branch(plain, branch, "notes.txt")
    # The template's other changes are merged. The owner's lines stay where both sides changed the same lines.
    kept = on_branch(conflict, branch, "notes.txt")
    assert kept == NOTES.replace("line 2", "zwei").replace("line 8", "`@router.get` ``` eight")
    subject = run("git", "log", "-1", "--format=%s", branch, cwd=conflict).stdout.strip()
    assert subject == "Part of: Update the template to 1.1.0 (1 file left)"
    branches = run("git", "branch", "--list", "--format=%(refname:short)", cwd=mono).stdout.split()
    assert branches == ["main", f"{branch}-a", f"{branch}-b"]
    assert "second line" not in on_branch(mono, f"{branch}-a", "b/notes.txt")
    before = run("git", "rev-parse", branch, cwd=plain).stdout
    fleet(addresses, "--push")
    assert run("git", "rev-parse", branch, cwd=plain).stdout == before
    # After a commit on the default branch, the branch is written again.
    (Path("owners/plain") / "own.txt").touch()
    commit_all(Path("owners/plain"), "Own file")
    run("git", "push", "--quiet", "origin", "HEAD", cwd=Path("owners/plain"))
    fleet(addresses, "--push")
    assert run("git", "rev-parse", f"{branch}~1", cwd=plain).stdout == run("git", "rev-parse", "main", cwd=plain).stdout


def test_run_on_another_machine_continues_the_branches(remote: Make, fleet: Fleet) -> None:
    plain, branch = remote("plain"), "template-update-1.1.0"
    fleet(write_list(plain), "--push", "--work", "first")
    before = run("git", "rev-parse", branch, cwd=plain).stdout
    fleet(write_list(plain), "--push", "--work", "second")
    assert run("git", "rev-parse", branch, cwd=plain).stdout == before
    fleet(write_list(plain), "--push", "--work", "third", "--trust", "--run", "touch more")
    assert on_branch(plain, branch, "more") == ""


def test_answer_of_a_server_that_refuses_the_branch_is_reported(remote: Make, fleet: Fleet) -> None:
    plain = remote("plain")
    hook = plain / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho 'GitLab: You are not allowed to push code.' >&2\nexit 1\n")
    hook.chmod(0o755)
    fleet(write_list(plain), "--push", status=1)
    assert projects()["plain"]["problem"].endswith("The server answered: GitLab: You are not allowed to push code.")


def test_push_keeps_commits_of_others(remote: Make, fleet: Fleet) -> None:
    plain = remote("plain")
    fleet(write_list(plain), "--push")
    owner = Path("owners/plain")
    run("git", "fetch", "--quiet", "origin", cwd=owner)
    run("git", "switch", "--quiet", "template-update-1.1.0", cwd=owner)
    (owner / "resolved.txt").touch()
    commit_all(owner, "Resolve")
    run("git", "push", "--quiet", "origin", "HEAD", cwd=owner)
    run("git", "switch", "--quiet", "main", cwd=owner)
    (owner / "own.txt").touch()
    commit_all(owner, "Own file")
    run("git", "push", "--quiet", "origin", "HEAD", cwd=owner)
    fleet(write_list(plain), "--push", status=1)
    assert "has commits of others" in projects()["plain"]["problem"]
    assert run("git", "log", "-1", "--format=%s", "template-update-1.1.0", cwd=plain).stdout == "Resolve\n"


@pytest.fixture
def recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put programs named gh and glab on PATH, which record their arguments.

    Their arguments and their output are the whole interface to GitHub and GitLab. Nothing else is replaced.
    """
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("gh", "glab"):
        program = programs / name
        program.write_text(
            f"#!{sys.executable}\nimport json, sys\n"
            f"print(json.dumps(sys.argv[1:]), file=open({str(tmp_path / 'calls')!r}, 'a'))\n"
            "print('Warning: 1 uncommitted change', file=sys.stderr)\n"
            "print('https://git.example.com/team/plain/pull/7')\n"
        )
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "calls"


def calls(path: Path) -> list[list[str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_requests_have_tasks_and_conflicts(remote: Make, fleet: Fleet, recorder: Path) -> None:
    addresses = write_list(remote("plain"), remote("conflict", edit=("line 8", "acht")))
    fleet(addresses, "--requests", "gh", "--jobs", "1")
    plain, conflict = calls(recorder)
    text = Path(plain[plain.index("--body-file") + 1])
    assert plain == [
        *("pr", "create", "--base", "main", "--head", "template-update-1.1.0"),
        *("--title", "Update the template to 1.1.0", "--body-file", str(text)),
    ]
    assert "from version 1.0.0 of its template to 1.1.0" in text.read_text()
    assert "- [ ] Freeze the notes." in text.read_text()
    assert "mint" not in text.read_text()
    assert conflict[-1] == "--draft"
    draft = Path(conflict[conflict.index("--body-file") + 1]).read_text()
    assert "- [ ] `notes.txt`: add the template's lines, or decide against them" in draft
    assert "\n  ````\n  `@router.get` ``` eight\n  ````\n" in draft
    assert projects()["plain"]["request"] == "https://git.example.com/team/plain/pull/7"
    # An unchanged project gets no second request. A changed project gets the new text in its request.
    fleet(addresses, "--requests", "gh")
    assert len(calls(recorder)) == 2
    (Path("owners/plain") / "own.txt").touch()
    commit_all(Path("owners/plain"), "Own file")
    run("git", "push", "--quiet", "origin", "HEAD", cwd=Path("owners/plain"))
    fleet(addresses, "--requests", "gh")
    assert calls(recorder)[2][:3] == ["pr", "edit", "https://git.example.com/team/plain/pull/7"]


def test_merge_requests_are_opened_with_glab(remote: Make, fleet: Fleet, recorder: Path) -> None:
    fleet(write_list(remote("conflict", edit=("line 8", "acht"))), "--requests", "glab")
    (call,) = calls(recorder)
    assert call[:6] == ["mr", "create", "--source-branch", "template-update-1.1.0", "--target-branch", "main"]
    assert "- [ ] `notes.txt`" in call[call.index("--description") + 1]
    assert call[-2:] == ["--yes", "--draft"]


def test_failed_request_is_reported_and_repeated(remote: Make, fleet: Fleet, recorder: Path) -> None:
    program = recorder.parent / "programs" / "gh"
    working = program.read_text()
    program.write_text("#!/bin/sh\necho 'gh: To use GitHub CLI, run gh auth login' >&2\nexit 4\n")
    addresses = write_list(remote("plain"))
    fleet(addresses, "--requests", "gh", status=1)
    assert projects()["plain"]["problem"] == (
        "The branch was pushed, but gh pr create failed: gh: To use GitHub CLI, run gh auth login"
    )
    program.write_text(working)
    fleet(addresses, "--requests", "gh")
    assert len(calls(recorder)) == 1


def test_request_of_a_run_on_another_machine_gets_the_text(remote: Make, fleet: Fleet, recorder: Path) -> None:
    program = recorder.parent / "programs" / "gh"
    refusal = "\nif 'create' in sys.argv: sys.exit('a pull request for branch already exists:\\nhttps://a.example/7')\n"
    program.write_text(program.read_text().replace("\nprint('Warning", f"{refusal}print('Warning", 1))
    fleet(write_list(remote("plain")), "--requests", "gh")
    assert [call[:3] for call in calls(recorder)] == [
        ["pr", "create", "--base"],
        ["pr", "edit", "template-update-1.1.0"],
    ]
    assert projects()["plain"]["request"] == "https://git.example.com/team/plain/pull/7"


class Page(HTMLParser):
    """Collect the tags and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs


def test_page_needs_no_other_file_and_escapes_texts(remote: Make, fleet: Fleet) -> None:
    hostile = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    bare = remote("hostile", edit=("line 2", hostile))
    replace(Path("owners/hostile"), "Makefile", "broken", "notes.txt")
    replace(Path("owners/hostile"), "Makefile", "@echo $@", f"@echo '{hostile}'")
    replace(Path("owners/hostile"), ".copier-answers.yml", "vanilla", f'"{hostile}"')
    commit_all(Path("owners/hostile"), "Attack")
    run("git", "push", "--quiet", "origin", "HEAD", cwd=Path("owners/hostile"))
    fleet(write_list(bare, f"https://127.0.0.1:1/{hostile.replace(' ', '/')}"), status=1)
    text = Path("report.html").read_text()
    page = Page(text)
    assert not page.tags & {"script", "img", "link", "iframe", "object"}
    assert "&lt;script&gt;" in text
    links = [value for name, value in page.attributes if name in ("src", "href", "action")]
    assert links == ["#p1", "#p2"]
    assert not [name for name, _ in page.attributes if name.startswith("on")]


def test_directories_are_cloned_and_dirty_ones_are_reported(remote: Make, fleet: Fleet) -> None:
    remote("clean")
    remote("dirty")
    Path("owners/dirty/new.txt").touch()
    before = run("git", "log", "--format=%H", "--all", cwd=Path("owners/clean")).stdout
    fleet("owners", status=1)
    assert projects()["clean"]["state"] == "merges"
    assert projects()["dirty"]["problem"] == "The directory has uncommitted changes. Commit or stash them."
    assert run("git", "log", "--format=%H", "--all", cwd=Path("owners/clean")).stdout == before
    assert run("git", "status", "--porcelain", cwd=Path("owners/clean")).stdout == ""


def test_subfolder_of_the_list_selects_a_project(remote: Make, fleet: Fleet) -> None:
    mono = remote("mono", "a", "b")
    fleet(write_list(f"file://{mono}#b", f"file://{mono}#c"), status=1)
    assert {name: project["state"] for name, project in projects().items()} == {"mono#b": "merges", "mono#c": "failed"}
    fleet(Path("owners/mono/a"))
    assert projects().keys() == {"mono#a"}


def test_each_project_of_a_monorepo_is_examined_once(remote: Make, fleet: Fleet) -> None:
    mono = remote("mono", "a/b", "a-b")
    fleet(write_list(mono, f"file://{mono}#a/b"))
    assert {name: project["state"] for name, project in projects().items()} == {
        "mono#a/b": "merges",
        "mono#a-b": "merges",
    }
    assert len(list(Path("standfast-fleet/projects").iterdir())) == 2


def test_lines_like_a_separator_of_conflicts_are_not_lost(tmp_path: Path) -> None:
    text = "<<<<<<< before updating\nOur API\n=======\nmine\n=======\nAPI\n>>>>>>> after updating\n"
    (tmp_path / "README.md").write_text(text)
    with pytest.raises(FleetError, match=r"README\.md has a conflict with several lines ======="):
        keep_own_lines(tmp_path, "README.md")
    assert (tmp_path / "README.md").read_text() == text


def test_programs_that_ignore_the_end_of_their_time_are_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "GRACE", 0.2)
    start = time.monotonic()
    with pytest.raises(FleetError, match="did not end within"):
        processes.run(["sh", "-c", "trap '' TERM; sleep 30; :"], tmp_path, {}, 0.2)
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--upload-pack=touch", "is not an address"),
        ("https://a.example/x.git and more", "is not an address"),
        ("https://a.example/x.git#../y", "is not a directory of the repository"),
        ("", "has no repositories"),
    ],
)
def test_wrong_list_is_refused(fleet: Fleet, line: str, message: str) -> None:
    refused = fleet(write_list(line), status=1)
    assert message in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--html", "missing/report.html"],
            "Cannot write missing/report.html: its directory does not exist. Create it.",
        ),
        (["--work", "."], ". has files, and no earlier run has created it. Name a new directory with --work."),
        (["--requests", "gh"], "--requests gh: the program gh is not installed. Install it."),
    ],
)
def test_wrong_option_is_refused_before_the_run(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, options: list[str], message: str
) -> None:
    listed = write_list("https://127.0.0.1:1/missing.git")
    Path(".gitignore").write_text("mine\n")
    monkeypatch.setenv("PATH", "/nowhere")
    assert fleet(listed, *options, status=1).stderr == f"Error: {message}\n"
    assert Path(".gitignore").read_text() == "mine\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a file that is always full")
def test_report_that_cannot_be_written_is_an_error(fleet: Fleet) -> None:
    refused = fleet(write_list("https://127.0.0.1:1/missing.git"), "--json", "/dev/full", status=1)
    assert refused.stderr.splitlines()[-1].startswith("Error: Cannot write /dev/full: No space left on device.")


def test_version_that_does_not_exist_is_reported(remote: Make, fleet: Fleet) -> None:
    fleet(write_list(remote("plain")), to="7.0.0", status=1)
    assert "has no version 7.0.0" in projects()["plain"]["problem"]


def test_names_are_short_and_unique() -> None:
    keys = [("https://a.example/one/orders.git", ""), ("git@a.example:two/orders", ""), ("/srv/billing", "api")]
    assert short_names(keys) == ["one/orders", "two/orders", "billing#api"]


def test_long_request_is_shortened() -> None:
    conflicts = [Conflict(f"{name}.py", ["x = 1\n" * 20_000, ""]) for name in "ab"]
    text = request_text(ProjectResult("a", "a", conflicts=conflicts, tasks="- [ ] Rest"))
    assert len(text) < MAXIMUM
    assert text.count("  x = 1\n") == 400
    assert "- [ ] Rest" in text
    long = "- [ ] Do it:\n\n  ```\n  x = 1\n  ```\n" * 5_000
    text = request_text(ProjectResult("a", "a", tasks=long))
    assert len(text) < MAXIMUM
    assert text.count("  ```\n") % 2 == 0
    assert text.endswith("\n\nThe text is cut here. `standfast fleet` reports the rest.\n")


@pytest.mark.slow
def test_recorded_owners_are_verified_in_environments_of_their_own(
    template: Path, tmp_path: Path, fleet: Fleet
) -> None:
    """The checks of an updated service pass after the work by hand that needs no decision."""
    owners = {
        name: build_owner(name, tmp_path / name, template)
        for name in ("resource-of-the-document", "code-in-many-modules")
    }
    commands = ("make lock args=--no-upgrade", 'make revision m="add item version"', "make format")
    options = [option for command in commands for option in ("--run", command)]
    fleet(write_list(*owners.values()), "--trust", "--verify", "--push", *options, to="999.0.0")
    found = projects()
    assert {name: project["state"] for name, project in found.items()} == {
        "resource-of-the-document": "merges",
        "code-in-many-modules": "conflicts",
    }
    checks = found["resource-of-the-document"]["checks"]
    log = Path(found["resource-of-the-document"]["log"]).read_text()
    assert [check["command"] for check in checks if not check["passed"]] == [], log[-3000:]
    assert [check["command"] for check in checks] == [*commands, "make lint", "make typecheck", "make test"]
    assert "- [ ] " in found["resource-of-the-document"]["tasks"]
    pushed = run(
        "git",
        "show",
        "--stat",
        found["resource-of-the-document"]["update_branch"],
        cwd=owners["resource-of-the-document"],
    ).stdout
    assert "add_item_version.py" in pushed
    assert not list(Path("standfast-fleet/projects").glob("*/.venv"))


def test_impact_of_a_release_counts_projects_that_merge_and_stay_green(
    remote: Make, small_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    commit = run("git", "rev-parse", "v1.1.0^{commit}", cwd=small_template).stdout.strip()
    edits = {"conflict": ("line 2", "mine"), "red": ("line 5", "bad"), "shop": ("line 5", "mine")}
    list_ = write_list(*(remote(name, edit=edit) for name, edit in edits.items()), tmp_path / "missing.git")
    found = run_fleet(list_, commit)
    assert found == {
        "fleet/conflict": Impact(commit, "1.0.0", ["notes.txt"]),
        "fleet/red": Impact(commit, "1.0.0"),  # Its checks fail also without the update.
        "fleet/shop": Impact(commit, "1.0.0"),
    }
    assert summary(found.values()) == "2 of 3 merge and stay green, 1 conflicts in notes.txt"
