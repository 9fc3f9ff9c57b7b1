"""Render services with `make new`: the recorded address and commit, errors, and the next commands."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from conftest import ROOT, commit_all, run, run_unchecked

sys.path.insert(0, str(ROOT / "scripts"))

from new import find_source, public_address


@pytest.fixture
def clone(template: Path, tmp_path: Path) -> Path:
    """Return a clone of the template, whose remote is a directory."""
    directory = tmp_path / "clone"
    run("git", "clone", "--quiet", template, directory, cwd=tmp_path)
    return directory


@pytest.fixture
def working_copy(clone: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a clone that `find_source` examines."""
    monkeypatch.setattr("new.ROOT", clone)
    return clone


def new(clone: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return run_unchecked(sys.executable, clone / "scripts" / "new.py", *arguments, cwd=cwd)


def assert_refused(finished: subprocess.CompletedProcess[str], message: str) -> None:
    assert finished.returncode == 1
    assert message in finished.stderr
    assert len(finished.stderr.strip().splitlines()) == 1


def recorded(project: Path) -> tuple[str, str]:
    answers = yaml.safe_load((project / ".copier-answers.yml").read_text("utf-8"))
    return answers["_src_path"], answers["_commit"]


# -------------------------------------------------------------------------------------- the next commands


@pytest.mark.parametrize("tool", ["pip-tools", "uv"])
def test_next_commands_are_printed(template: Path, tmp_path: Path, tool: str) -> None:
    """test_new_project_serves_and_passes_its_ci runs all of them."""
    (tmp_path / "answers.yml").write_text(f"project_name: Order Service\ndependency_tool: {tool}\n")
    service = tmp_path / "a service"
    finished = new(template, str(service), "--data-file", "answers.yml", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    start, *others = re.findall(r"^  (\S.*)", finished.stderr.partition("Run these commands")[2], re.MULTILINE)
    assert others == ["make dev", "make update-check"]
    assert start.startswith(f"cd {shlex.quote(str(service))} && ")
    assert ("make lock" in start) == (tool == "uv")
    if tool == "pip-tools":
        run("bash", "-c", start, cwd=tmp_path)
        assert run("git", "status", "--porcelain", cwd=service).stdout == ""
        assert run("git", "log", "--format=%s", cwd=service).stdout == "Start\n"
        assert (service / "src" / "order_service").is_dir()


# -------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("package_name: class\n", "keyword"),
        ("license: GPL\n", "license"),
        ("{", "not valid YAML"),
        ("project_name: \xe9t\xe9\n", "not valid YAML"),
        ("- project_name\n", "missing.yml has no answers"),
        ("projct_name: Orders\n", "no question projct_name, which missing.yml answers"),
        (None, "missing.yml"),
    ],
)
def test_wrong_answer_is_refused_in_one_line(clone: Path, tmp_path: Path, data: str | None, message: str) -> None:
    run("git", "remote", "set-url", "origin", UNREACHABLE, cwd=clone)
    if data is not None:
        (tmp_path / "missing.yml").write_text(data, "latin-1")
    assert_refused(new(clone, "service", "--data-file", "missing.yml", cwd=tmp_path), message)
    assert not (tmp_path / "service").exists()


def test_directory_that_is_not_empty_is_refused(template: Path, tmp_path: Path) -> None:
    (tmp_path / "service").mkdir()
    (tmp_path / "service" / "mine").touch()
    assert_refused(new(template, "service", "--defaults", cwd=tmp_path), "not an empty directory")
    assert [path.name for path in (tmp_path / "service").iterdir()] == ["mine"]
    assert_refused(new(template, "service/mine", "--defaults", cwd=tmp_path), "not an empty directory")


@pytest.mark.parametrize("change", ["README.md", "template/new.txt"])
def test_uncommitted_changes_are_refused(working_copy: Path, change: str) -> None:
    with (working_copy / change).open("a", encoding="utf-8") as file:
        file.write("changed\n")
    with pytest.raises(SystemExit, match=r"Commit them first\..* run: \.venv/new/bin/copier copy .* other$"):
        find_source(Path("other"))


def test_copy_without_git_is_refused(working_copy: Path) -> None:
    (working_copy / ".git").rename(working_copy.with_name("elsewhere"))
    with pytest.raises(SystemExit, match=r"Clone the template with git\.$"):
        find_source(Path("other"))


# -------------------------------------------------------------------------------------- the recorded address

UNREACHABLE = "https://user:secret@127.0.0.1:9/team/standfast"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://github.com/team/standfast", "https://github.com/team/standfast"),
        ("https://token@github.com/team/standfast.git", "https://github.com/team/standfast.git"),
        ("https://user:secret@git.example.com:8443/standfast", "git+https://git.example.com:8443/standfast"),
        ("git@github.com:team/standfast.git", "git@github.com:team/standfast.git"),
        ("deploy@git.example.com:standfast", "git+deploy@git.example.com:standfast"),
        ("ssh://git@git.example.com/standfast", "git+ssh://git@git.example.com/standfast"),
        ("/srv/git/standfast.git", "/srv/git/standfast.git"),
        ("../standfast.git", str(ROOT.parent / "standfast.git")),
    ],
)
def test_address_of_the_remote_is_one_that_copier_reads(url: str, address: str) -> None:
    assert public_address(url) == address


def test_project_records_the_remote_without_asking_it(clone: Path, tmp_path: Path) -> None:
    run("git", "remote", "set-url", "origin", UNREACHABLE, cwd=clone)
    (clone / "answers.yml").write_text("{}")  # Files that are not rendered may be untracked.
    finished = new(clone, "service", "--defaults", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert "Warning" not in finished.stderr
    assert recorded(tmp_path / "service") == ("git+https://127.0.0.1:9/team/standfast", "v999.0.0")


def test_project_can_be_updated_from_the_remote(clone: Path, tmp_path: Path) -> None:
    """The remote does not have the working copy's other commits."""
    remote = tmp_path / "remote"
    run("git", "clone", "--quiet", "--bare", clone, remote, cwd=tmp_path)
    run("git", "remote", "set-url", "origin", f"file://{remote}", cwd=clone)
    run("git", "tag", "-d", "v999.0.0", cwd=clone)
    assert "Warning: the remote origin is a directory" in new(clone, "service", "--defaults", cwd=tmp_path).stderr
    service = tmp_path / "service"
    assert recorded(service)[0] == f"git+file://{remote}"
    assert run("git", "cat-file", "-t", recorded(service)[1], cwd=remote).stdout == "commit\n"

    with (clone / "template" / "alembic.ini").open("a", encoding="utf-8") as file:
        file.write("# Newer.\n")
    commit_all(clone, "Next")
    run("git", "tag", "v1000.0.0", cwd=clone)
    run("git", "push", "--quiet", "origin", "v1000.0.0", cwd=clone)
    run("git", "init", "--quiet", cwd=service)
    commit_all(service, "Start")
    update = (Path(sys.executable).with_name("copier"), "update", "--defaults")
    run(*update, cwd=service, COPIER_CACHE_DIR=str(tmp_path / "cache"))
    assert recorded(service) == (f"git+file://{remote}", "v1000.0.0")
    assert (service / "alembic.ini").read_text("utf-8").endswith("# Newer.\n")


@pytest.mark.parametrize("local", ["commit", "tag", "no remote"])
def test_commit_that_no_remote_has_is_reported(working_copy: Path, local: str) -> None:
    if local == "commit":
        run("git", "commit", "--quiet", "--allow-empty", "--message", "Local", cwd=working_copy)
    elif local == "tag":
        run("git", "tag", "v1000.0.0", cwd=working_copy)
    else:
        run("git", "remote", "remove", "origin", cwd=working_copy)
    source = find_source(Path("other"))
    assert source.address == str(working_copy)
    assert "push them and run the command again" in source.warning
    assert "\n" not in source.warning


def test_commit_of_another_remote_is_found(working_copy: Path, template: Path) -> None:
    run("git", "remote", "rename", "origin", "upstream", cwd=working_copy)
    run("git", "remote", "add", "origin", UNREACHABLE, cwd=working_copy)
    assert find_source(Path("other")).address == str(template)


def test_checkout_of_a_tag_is_found(template: Path, working_copy: Path) -> None:
    """Such a clone has no branch of the remote."""
    run("git", "checkout", "--quiet", "v999.0.0", cwd=working_copy)
    (working_copy / ".git" / "packed-refs").unlink()
    shutil.rmtree(working_copy / ".git" / "refs" / "remotes")
    run("git", "fetch", "--quiet", "origin", "tag", "v999.0.0", cwd=working_copy)
    assert find_source(Path("other")).address == str(template)


# -------------------------------------------------------------------------------------- the lock


def test_small_lockfile_has_versions_of_the_large_one() -> None:
    pins = [
        set(re.findall(r"^(\S+==\S+)", (ROOT / name).read_text("utf-8"), re.MULTILINE))
        for name in ("requirements-new.txt", "requirements.txt")
    ]
    assert pins[0] < pins[1]
    assert any(pin.startswith("copier==") for pin in pins[0])
