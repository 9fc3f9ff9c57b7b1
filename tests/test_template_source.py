"""Update projects whose template moved, lost its history, or has no newer release. Copier updates a small template."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from copier import run_copy, run_update

from conftest import commit_all, git_init, run
from standfast.project import read_project
from standfast.template_source import check_source

TEMPLATE = {
    "copier.yml": "_subdirectory: template\npackage_name: orders\n",
    "template/{{ _copier_conf.answers_file }}.jinja": "{{ _copier_answers | to_nice_yaml -}}\n",
    "template/version.txt": "1.0.0\n",
}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small template with the releases 1.0.0 and 1.1.0, and a later commit. Do not change it."""
    directory = tmp_path_factory.mktemp("small") / "template"
    for name, text in TEMPLATE.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    git_init(directory)
    run("git", "tag", "v1.0.0", cwd=directory)
    for version, tag in (("1.1.0", "v1.1.0"), ("later", "v2.0.0rc1")):
        (directory / "template/version.txt").write_text(f"{version}\n")
        commit_all(directory, version)
        run("git", "tag", tag, cwd=directory)
    return directory


@pytest.fixture(scope="module")
def rendered(template: Path) -> Path:
    directory = template.with_name("project")
    run_copy(str(template), directory, vcs_ref="v1.0.0", defaults=True, quiet=True)
    git_init(directory)
    return directory


@pytest.fixture
def project(rendered: Path, tmp_path: Path) -> Iterator[Path]:
    """Return a project that has release 1.0.0."""
    directory = tmp_path / "project"
    shutil.copytree(rendered, directory)
    yield directory
    assert run("git", "status", "--porcelain", cwd=directory).stdout == "", "The check changed the project."


@pytest.fixture
def own(template: Path, project: Path) -> Path:
    """Return a copy of the template that the test may change. The project has its address."""
    directory = project.with_name("template")
    shutil.copytree(template, directory)
    record(project, "_src_path", str(directory))
    return directory


def record(project: Path, key: str, value: str) -> None:
    """Write a key of the answers file and commit, as the messages instruct."""
    path = project / ".copier-answers.yml"
    text = path.read_text()
    path.write_text(re.sub(rf"^{key}: .*\n", f"{key}: {value}\n" if value else "", text, flags=re.MULTILINE))
    commit_all(project, key)


def refused(project: Path, target: str | None = None) -> str:
    with pytest.raises(click.ClickException) as error:
        check_source(read_project(project), target)
    assert "\n" not in error.value.message
    return error.value.message


def update(project: Path) -> str:
    """Update as `copier update` does, commit, and return the version that the project then has."""
    assert check_source(read_project(project)) is None
    run_update(str(project), defaults=True, overwrite=True, quiet=True)
    commit_all(project, "Update")
    return (project / "version.txt").read_text().strip()


def squash(template: Path) -> None:
    """Replace the history of 1.1.0 by one commit, and delete the tags."""
    branch = run("git", "branch", "--show-current", cwd=template).stdout.strip()
    run("git", "checkout", "--quiet", "--orphan", "squashed", "v1.1.0", cwd=template)
    commit_all(template, "Everything")
    run("git", "branch", "--quiet", "-D", branch, cwd=template)
    run("git", "tag", "-d", "v1.0.0", "v1.1.0", "v2.0.0rc1", cwd=template)
    run("git", "reflog", "expire", "--expire=now", "--all", cwd=template)
    run("git", "gc", "--quiet", "--prune=now", cwd=template)


def test_project_of_an_older_release_can_be_updated(project: Path) -> None:
    assert update(project) == "1.1.0"


def test_project_follows_a_changed_address(project: Path, own: Path) -> None:
    moved = own.with_name("moved")
    own.rename(moved)
    message = refused(project)
    assert message.startswith(f"Cannot read the template at {own} (")
    assert "write its new address to _src_path in .copier-answers.yml, and commit" in message
    record(project, "_src_path", str(moved))
    assert update(project) == "1.1.0"
    assert f"_src_path: {moved}\n" in (project / ".copier-answers.yml").read_text()


def test_unreachable_address_is_reported_with_the_reason(project: Path) -> None:
    record(project, "_src_path", "https://127.0.0.1:9/team/template.git")
    assert "Failed to connect to 127.0.0.1 port 9" in refused(project)


def test_relative_address_is_refused_with_the_full_path(project: Path, own: Path) -> None:
    record(project, "_src_path", "../template")
    assert f"Write the full address to _src_path in .copier-answers.yml, for example {own}." in refused(project)
    record(project, "_src_path", str(own))
    assert update(project) == "1.1.0"


@pytest.mark.parametrize("address", ["https://git.example.com/team/template", "git.user@example.com:template"])
def test_address_that_copier_takes_for_a_directory_is_refused(project: Path, address: str) -> None:
    record(project, "_src_path", address)
    assert f"Write git+{address} to _src_path" in refused(project)


@pytest.mark.parametrize("form", ["git+file://{}", "file://{}", "{}"])
def test_address_of_a_repository_is_accepted(project: Path, template: Path, form: str) -> None:
    (link := project.with_name("link.git")).symlink_to(template)
    record(project, "_src_path", form.format(link))
    assert check_source(read_project(project)) is None


@pytest.mark.parametrize("key", ["_src_path", "_commit"])
def test_missing_key_is_reported(project: Path, key: str) -> None:
    record(project, key, "")
    assert refused(project).startswith(f".copier-answers.yml has no {key}, ")


@pytest.mark.parametrize("tag", ["v1.1.0", "v1.1.1"])
def test_project_follows_a_squashed_history(project: Path, own: Path, tag: str) -> None:
    assert update(project) == "1.1.0"
    squash(own)
    run("git", "tag", tag, cwd=own)
    if tag != "v1.1.0":
        message = refused(project)
        assert message.startswith(f"The template at {own} has no commit v1.1.0: its history was rewritten")
        assert f"such as {tag}, to _commit" in message
        record(project, "_commit", tag)
    (own / "template/version.txt").write_text("1.2.0\n")
    commit_all(own, "1.2.0")
    run("git", "tag", "v1.2.0", cwd=own)
    assert update(project) == "1.2.0"


def test_commit_without_a_tag_is_reported_with_the_release_before_it(project: Path) -> None:
    record(project, "_commit", "v1.1.0-7-gabcdef1")
    assert "such as v1.1.0, to _commit" in refused(project)


@pytest.mark.parametrize("commit", ["v2.0.0rc1", "v1.1.0-1-g{}", "{}"])
def test_project_newer_than_the_newest_release_has_no_update(project: Path, template: Path, commit: str) -> None:
    """Copier would refuse the update as a downgrade."""
    record(project, "_commit", commit.format(run("git", "rev-parse", "HEAD", cwd=template).stdout.strip()[:9]))
    note = check_source(read_project(project))
    assert note
    assert "newer than the newest release v1.1.0" in note


def test_commit_before_the_newest_release_can_be_updated(project: Path, template: Path) -> None:
    record(project, "_commit", run("git", "rev-parse", "v1.0.0", cwd=template).stdout.strip())
    assert update(project) == "1.1.0"


def test_template_without_releases_can_be_updated(project: Path, own: Path) -> None:
    commit = run("git", "rev-parse", "v1.0.0", cwd=own).stdout.strip()
    run("git", "tag", "-d", "v1.0.0", "v1.1.0", "v2.0.0rc1", cwd=own)
    record(project, "_commit", commit)
    assert update(project) == "later"


def test_downgrade_is_refused(project: Path) -> None:
    record(project, "_commit", "v1.1.0")
    assert refused(project, "v1.0.0") == (
        "Copier cannot go back from v1.1.0 to v1.0.0. Revert the commit of the last update in git instead."
    )
    assert check_source(read_project(project), "v1.1.0") is None
