"""Check the notices, what `make release` refuses, and the versions that projects get with and without tags."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from copier import VcsRef, run_copy, run_update
from copier.errors import UserMessageError
from packaging.version import Version

from changelog import answers_in, changelog, files
from conftest import ROOT, Render, commit_all, git_init, releases, replace, run, run_unchecked
from moves import moved_files, rendered_path, tables_since, unhandled_moves
from owners import OWNERS
from published import problems_of_tag
from release_impact import RESULT
from standfast.notices import Notice, NoticesError, notices_for, read_dates, read_notices, settings_in, task_list

NOTICES = ROOT / "notices.yml"
LAST = list(releases())[-1]
MAJOR = Version(LAST).major + 1
"""The major version that the next release can have."""
FIRST, PATCH, MINOR, NEXT = f"{MAJOR}.0.0", f"{MAJOR}.0.1", f"{MAJOR}.1.0", f"{MAJOR + 1}.0.0"

# ------------------------------------------------------------------------------------------ notices


def for_update(*notices: Notice, former: str = "1.0.0", new: str = "2.0.0", **more: Any) -> list[str]:
    found = notices_for(notices, former=Version(former), new=Version(new), answers=more.pop("answers", {}), **more)
    return [notice.text for notice in found]


def test_update_gets_the_notices_of_the_versions_that_it_crosses() -> None:
    notices = [Notice(version, f"in {version}") for version in ("2.1.0", "2.0.0", "1.1.0", "1.0.0")]
    assert for_update(*notices) == ["in 2.0.0", "in 1.1.0"]
    assert for_update(*notices, former="1.0.0.post3.dev0") == ["in 2.0.0", "in 1.1.0"]
    assert for_update(*notices, former="2.0.0") == []


def test_unreleased_notices_concern_updates_to_a_newer_commit() -> None:
    notices = [Notice("unreleased", "next"), Notice("1.0.0", "first")]
    assert for_update(*notices, new="1.0.0.post3.dev0") == ["next"]
    assert for_update(*notices, former="0.0.0.post2.dev0", new="0.0.0.post3.dev0") == ["next"]
    assert for_update(*notices, former="0.2.0", new="1.0.0") == ["first"]
    assert for_update(*notices, former="1.0.0.post3.dev0", new="1.0.0.post3.dev0") == []


def test_notice_concerns_only_projects_with_its_answers() -> None:
    notice = Notice("2.0.0", "sign in", when="auth == 'jwt' and not kubernetes")
    assert for_update(notice, answers={"auth": "jwt"}) == ["sign in"]
    assert for_update(notice, answers={"auth": "jwt", "kubernetes": True}) == []
    assert for_update(notice, answers={}) == []


def test_notice_of_removed_settings_concerns_only_projects_that_set_them(tmp_path: Path) -> None:
    notice = Notice("2.0.0", "renamed", settings={"OLD": "NEW", "GONE": None})
    (tmp_path / ".env").write_text("# OLD=1\nOTHER=OLD\nNEW=2\n")
    assert for_update(notice, settings=settings_in(tmp_path / ".env")) == []
    (tmp_path / ".env").write_text('DEBUG=true\nexport old = "1"\n')
    assert for_update(notice, settings=settings_in(tmp_path / ".env")) == ["renamed"]
    assert settings_in(tmp_path / "missing") == set()


def test_task_list_has_steps_as_tasks_and_the_settings_that_restore_behavior() -> None:
    text = task_list(
        [
            Notice("2.0.0", "Do this:\n\n| a | b |", by_hand=True, settings={"OLD": "NEW", "GONE": None}),
            Notice("2.0.0", "75 s", before="5 s", restore="`KEEP_ALIVE_TIMEOUT=5`"),
            Notice("2.0.0", "A feature", section="New"),
        ]
    )
    assert text == (
        "### To do by hand\n\n- [ ] Do this:\n\n  | a | b |\n  OLD is now NEW.\n  GONE was removed.\n\n"
        "### Changed behavior\n\n- Before: 5 s\n  Now: 75 s\n  To keep the former behavior: `KEEP_ALIVE_TIMEOUT=5`\n"
    )
    assert task_list([]) == ""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("notices: [", "is not valid YAML"),
        ("[]", "no list `notices`"),
        ("notices: [text]", "not a mapping"),
        ("notices: [{version: 1.0.0}]", "missing 1 required"),
        ("notices: [{version: 1.0.0, text: A, wen: x}]", "wen"),
        ("notices: [{version: soon, text: A}]", "Write 1.2.0 or unreleased"),
        ("notices: [{version: 1.0.0, text: A, section: Other}]", "wrong section"),
    ],
)
def test_error_in_notices_is_one_clear_line(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "notices.yml").write_text(text)
    with pytest.raises(NoticesError, match=reason) as error:
        read_notices(tmp_path / "notices.yml")
    assert "\n" not in str(error.value)


def test_invalid_condition_is_one_clear_line() -> None:
    with pytest.raises(NoticesError, match="condition 'auth ='"):
        Notice("1.0.0", "A", when="auth =").concerns({})


def test_changelog_and_message_have_the_content_of_the_notices() -> None:
    """Run `make changelog` after you change notices.yml."""
    for name, text in files(NOTICES).items():
        assert (ROOT / name).read_text("utf-8") == text


def test_conditions_of_notices_name_questions() -> None:
    stored = {
        name
        for name, question in yaml.safe_load((ROOT / "copier.yml").read_text("utf-8")).items()
        if not name.startswith("_") and question.get("when") is not False
    }
    for notice in read_notices(NOTICES):
        assert answers_in(notice.when) <= stored
        notice.concerns({})


def test_every_released_version_has_notices_and_a_date() -> None:
    assert read_dates(NOTICES).keys() == releases().keys()
    assert {notice.version for notice in read_notices(NOTICES)} >= releases().keys()


def test_changelog_names_condition_and_remedy() -> None:
    notices = [
        Notice("1.0.0", "75 s", before="5 s", restore="`A=5`"),
        Notice("unreleased", "word " * 40, by_hand=True, section="To do by hand", when="auth == 'jwt'"),
    ]
    text = changelog(notices, {"1.0.0": "2027-01-01"}).partition("`notices.yml`.\n")[2]
    unreleased, _, released = text.partition("\n## 1.0.0 (2027-01-01)\n")
    assert unreleased.startswith("\n## Unreleased\n\n### To do by hand\n\n- If `auth == 'jwt'`: word word")
    assert max(map(len, unreleased.splitlines())) <= 120
    assert "| 5 s | 75 s | `A=5` |" in released


@pytest.mark.slow
def test_update_prints_only_what_concerns_the_change_of_answers(
    project: Render, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = project(schema_namespace="orders")

    def message(**changes: str) -> str:
        run_update(str(directory), data=changes, defaults=True, overwrite=True, vcs_ref=VcsRef.CURRENT)
        run("git", "stash", "--include-untracked", "--quiet", cwd=directory)
        return capsys.readouterr().err

    schema, rows, undo = "schema_namespace has changed", "The database was SQLite", "The database was PostgreSQL"
    for changes, expected in (({}, ""), ({"schema_namespace": ""}, schema), ({"database_backend": "sqlite"}, undo)):
        printed = message(**changes)
        assert "Look for conflicts" in printed
        assert {text for text in (schema, rows, undo, "by hand") if text in printed} == {expected} - {""}


# ---------------------------------------------------------------------------- versions of projects


class Template:
    """A published repository of the template, and a maintainer's clone of it."""

    def __init__(self, directory: Path, source: Path) -> None:
        self.published = directory / "published.git"
        self.address = f"file://{self.published}"
        self.clone = directory / "maintainer"
        run("git", "clone", "--quiet", "--bare", source, self.published, cwd=directory)
        for tag in run("git", "tag", cwd=self.published).stdout.split():
            run("git", "tag", "--delete", tag, cwd=self.published)
        run("git", "clone", "--quiet", self.address, self.clone, cwd=directory)

    def commit(self, message: str) -> None:
        """Commit all changes, and publish them."""
        commit_all(self.clone, message, "--allow-empty")
        run("git", "push", "--quiet", "origin", "HEAD", cwd=self.clone)

    def change(self, text: str) -> None:
        """Publish a change of a rendered file."""
        replace(self.clone, "template/alembic.ini", "[alembic]\n", f"[alembic]\n# {text}.\n")
        self.commit(text)

    def script(self, name: str, version: str) -> subprocess.CompletedProcess[str]:
        # Byte code of a module is stale if the module changes within one second, and keeps its size.
        environment = {"PYTHONPATH": str(self.clone), "PYTHONDONTWRITEBYTECODE": "1"}
        return run_unchecked(sys.executable, f"scripts/{name}.py", version, cwd=self.clone, **environment)

    def refused(self, version: str) -> str:
        """Return the reasons why the version cannot be released."""
        finished = self.script("release", version)
        assert finished.returncode == 1, finished.stdout + finished.stderr
        assert "Traceback" not in finished.stderr
        assert not run("git", "diff", "--stat", "releases.txt", cwd=self.clone).stdout
        return finished.stderr

    def prepare(self, version: str) -> None:
        """Make the changes of a maintainer before a release."""
        replace(self.clone, "notices.yml", "notices:\n", "notices:\n  - version: unreleased\n    text: A change.\n\n")
        prepared = self.script("changelog", version)
        assert prepared.returncode == 0, prepared.stderr
        self.commit(f"Prepare {version}")
        self.record()

    def record(self, **results: dict[str, Any]) -> None:
        """Record results as `make release-impact` does. Projects without an argument merge and stay green."""
        head = run("git", "rev-parse", "HEAD", cwd=self.clone).stdout.strip()
        rows = {name: {"commit": head, "version": FIRST} for name in [*OWNERS, "fleet/shop"]}
        rows |= {name.replace("_", "-"): {"commit": head, "version": FIRST, **row} for name, row in results.items()}
        (self.clone / RESULT).write_text(json.dumps(rows))
        self.commit("Record the impact")

    def release(self, version: str) -> None:
        """Release the last commit with the commands that `make release` prints, without the tests."""
        released = self.script("release", version)
        assert released.returncode == 0, released.stderr
        for command in re.findall(r"^    (git .*)$", released.stdout, re.MULTILINE):
            run("sh", "-c", command, cwd=self.clone)

    def project(self, directory: Path, **options: Any) -> Path:
        run_copy(self.address, directory, defaults=True, quiet=True, **options)
        git_init(directory)
        return directory


@pytest.fixture
def origin(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Template:
    monkeypatch.setenv("COPIER_CACHE_DIR", str(tmp_path / "cache"))  # Copier caches clones of addresses.
    return Template(tmp_path, template)


def version_in(project: Path) -> str:
    return str(yaml.safe_load((project / ".copier-answers.yml").read_text("utf-8"))["_commit"])


def updated(project: Path, *, trust: bool = False) -> str:
    """Update a project to the newest version, commit, and return the version."""
    run_update(str(project), defaults=True, overwrite=True, unsafe=trust)
    commit_all(project, "Update", "--allow-empty")
    return version_in(project)


@pytest.mark.slow
def test_projects_find_each_release_with_and_without_tags(
    origin: Template, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first_commit = run("git", "rev-parse", "HEAD", cwd=origin.clone).stdout.strip()
    # Without a tag, a project gets the last commit, and an update finds the next ones.
    oldest = origin.project(tmp_path / "oldest", vcs_ref=releases()["0.2.0"], data={"database_backend": "sqlite"})
    untagged = origin.project(tmp_path / "untagged")
    assert first_commit.startswith(version_in(untagged))
    assert releases()["0.2.0"].startswith(version_in(oldest))

    origin.prepare(FIRST)
    origin.release(FIRST)
    # The first tag is newer than each commit before it. It crosses a version that moves files.
    assert updated(untagged, trust=True) == f"v{FIRST}"
    assert f"Updating to template version {FIRST}" in capsys.readouterr().err
    tagged = origin.project(tmp_path / "tagged")
    assert version_in(tagged) == f"v{FIRST}"

    # Copier does not offer commits without a tag, and the commit of releases.txt is one.
    origin.change("Not released")
    assert updated(tagged) == f"v{FIRST}"
    assert f"Keeping template version {FIRST}" in capsys.readouterr().err
    assert run("git", "log", "--format=%s", cwd=tagged).stdout.splitlines() == ["Update", "Start"]
    assert "Not released" not in (tagged / "alembic.ini").read_text("utf-8")

    origin.prepare(MINOR)
    origin.release(MINOR)
    assert updated(untagged) == f"v{MINOR}"
    message = capsys.readouterr().err
    assert f"Updating to template version {MINOR}" in message
    assert "needs steps by hand" not in message
    assert "Not released" in (untagged / "alembic.ini").read_text("utf-8")
    # This update crosses both releases. It prints the steps by hand that concern the answers.
    assert updated(oldest, trust=True) == f"v{MINOR}"
    message = capsys.readouterr().err
    assert "This update needs steps by hand" in message
    assert 'Run `make revision m="add item version"`' in message
    assert "PostgreSQL 18" not in message


def test_tag_before_a_published_commit_is_refused_because_updates_would_be_downgrades(
    origin: Template, tmp_path: Path
) -> None:
    origin.prepare(FIRST)
    origin.change("After the release")
    project = origin.project(tmp_path / "project")
    run("git", "checkout", "--quiet", "HEAD~1", cwd=origin.clone)
    reasons = origin.refused(FIRST)
    found = re.search(
        rf"origin/\w+ has commits after .* version ({FIRST}\.post1\.dev0\S*), and could not update", reasons
    )
    assert found
    # Copier agrees: with the tag, the project has this version.
    run("git", "tag", f"v{FIRST}", cwd=origin.clone)
    run("git", "push", "--quiet", "origin", f"v{FIRST}", cwd=origin.clone)
    with pytest.raises(UserMessageError, match=re.escape(f"downgrading from {found[1]} to {FIRST}")):
        updated(project)


def test_tag_by_hand_is_refused_if_it_hides_the_release(origin: Template) -> None:
    head, old = run("git", "rev-parse", "HEAD", "HEAD~5", cwd=origin.clone).stdout.split()

    def problems(tag: str, commit: str, **known: str) -> list[str]:
        run("git", "tag", "--annotate", "--message", "By hand", tag, commit, cwd=origin.clone)
        return problems_of_tag(origin.clone, "v1.0.0", head, {**releases(), **known})

    assert problems("nightly", old) == []
    assert problems("v0.2.0", releases()["0.2.0"]) == []
    (problem,) = problems("v0.5.0", old)
    assert "The tag v0.5.0 is not at the commit that releases.txt has" in problem
    run("git", "tag", "--delete", "v0.5.0", cwd=origin.clone)
    (problem,) = problems("v3.0.0", old)
    assert "The tag v3.0.0 exists. Copier would offer it instead of v1.0.0" in problem
    run("git", "tag", "--delete", "v3.0.0", cwd=origin.clone)
    # Of two tags on a commit, Copier takes the later tag for the version.
    (problem,) = problems("v0.9.0", head, **{"0.9.0": head})
    assert "has the version 0.9.0" in problem


# ------------------------------------------------------------------------------- refused releases


def test_release_checks_version_notices_and_commit(origin: Template) -> None:
    for version in (LAST, MINOR, "x", f"v{FIRST}", f"{FIRST}rc1"):
        reasons = origin.refused(version)
        assert reasons.startswith(f"  ❌ {version} cannot follow {LAST}. Choose one of ")
        assert reasons.endswith(f", {FIRST}.\n")
    reasons = origin.refused(FIRST)
    assert f"notices.yml has no date of {FIRST}" in reasons
    assert "version of the package standfast is" in reasons
    replace(origin.clone, "notices.yml", "notices:\n", "notices:\n  - version: unreleased\n    text: A change.\n\n")
    assert origin.script("changelog", FIRST).returncode == 0
    assert "uncommitted changes" in origin.refused(FIRST)
    replace(origin.clone, "CHANGELOG.md", "A change.", "Another change.")
    origin.commit(f"Prepare {FIRST}")
    assert "CHANGELOG.md does not have the content of notices.yml" in origin.refused(FIRST)
    replace(origin.clone, "CHANGELOG.md", "Another change.", "A change.")
    (origin.clone / RESULT).unlink(missing_ok=True)
    origin.commit("Repair the changelog")
    assert f"{RESULT} has no result of this commit for {len(OWNERS)} of {len(OWNERS)}" in origin.refused(FIRST)
    origin.record()
    # Branches that are not the default branch may have later commits.
    branch = run("git", "branch", "--show-current", cwd=origin.clone).stdout.strip()
    run("git", "checkout", "--quiet", "-b", "feature", cwd=origin.clone)
    origin.change("Not merged")
    run("git", "checkout", "--quiet", branch, cwd=origin.clone)
    origin.release(FIRST)
    head = run("git", "rev-parse", f"v{FIRST}", cwd=origin.published).stdout.strip()
    assert (origin.clone / "releases.txt").read_text().splitlines()[-1] == f"{FIRST} {head}"
    run("git", "checkout", "--quiet", "--orphan", "unrelated", cwd=origin.clone)
    commit_all(origin.clone, "Unrelated")
    assert f"HEAD does not contain the commit of {FIRST}" in origin.refused(NEXT)


def test_work_by_hand_needs_a_major_version_and_a_changed_question_a_minor_one(origin: Template) -> None:
    origin.prepare(FIRST)
    origin.release(FIRST)
    replace(origin.clone, "copier.yml", "default: My Service", "default: Our Service")
    replace(origin.clone, "copier.yml", "help: License of the code", "help: The license")
    origin.prepare(PATCH)
    reasons = origin.refused(PATCH).splitlines()
    assert reasons == [f"  ❌ {PATCH} is a patch version, but questions have changed: project_name. Release {MINOR}."]
    step = "notices:\n  - version: unreleased\n    by_hand: true\n    text: Do this.\n\n"
    setting = "  - version: unreleased\n    settings: {OLD: NEW}\n    text: Renamed.\n\n"
    replace(origin.clone, "notices.yml", "notices:\n", step + setting)  # The other notices have the version PATCH.
    replace(origin.clone, "copier.yml", "version: v1.0.0", "version: v999.0.0")
    origin.prepare(MINOR)
    work, migration = origin.refused(MINOR).splitlines()
    assert f"{MINOR} is not a major version. Notices in notices.yml that need work by hand: 2. The first is:" in work
    assert work.endswith(f"Do this. Release {NEXT}.")
    assert f"migration of v999.0.0. An update to {MINOR} skips it" in migration
    assert "Traceback" not in (wrong := origin.script("changelog", FIRST)).stderr
    assert f"{FIRST} cannot follow {FIRST}" in wrong.stderr
    assert origin.script("changelog", NEXT).returncode == 0
    assert f"\n## {NEXT} (" in (changes := (origin.clone / "CHANGELOG.md").read_text())
    assert not {f"\n## {version} (" for version in (PATCH, MINOR) if f"\n## {version} (" in changes}


def test_changelog_refuses_a_version_without_notices_and_wrong_notices(origin: Template) -> None:
    origin.prepare(FIRST)
    origin.release(FIRST)
    for text, reason in (("", "has no notice with the version unreleased. Add a notice"), ("x", "no list `notices`")):
        if text:
            (origin.clone / "notices.yml").write_text(text)
        finished = origin.script("changelog", PATCH)
        assert finished.returncode == 1
        assert reason in finished.stderr
        assert len(finished.stderr.splitlines()) == 1
        changed = run("git", "status", "--porcelain", cwd=origin.clone).stdout.split()
        assert changed == (["M", "notices.yml"] if text else [])


def test_release_that_breaks_more_projects_than_its_version_says_is_refused(origin: Template) -> None:
    """A conflict that an earlier release caused, and a project of an earlier major version, allow a minor version."""
    origin.prepare(FIRST)
    known = {"own_dockerfile": {"conflicts": ["Dockerfile"], "by_hand": 1}}
    origin.record(**known)
    origin.release(FIRST)
    origin.prepare(MINOR)
    known["own_settings"] = {"version": f"{MAJOR - 1}.0.0", "conflicts": [".env.example"]}
    conflict, red = {"conflicts": ["Makefile"]}, {"conflicts": ["Makefile"], "green": False}
    more_steps = {"own_dockerfile": {"conflicts": ["Dockerfile"], "by_hand": 2}}
    origin.record(**{**known, **more_steps}, own_ci_steps=conflict, own_log_format=red)
    assert origin.refused(MINOR) == (
        f"  ❌ {MINOR} is not a major version, but projects need more work: 2 conflict in Makefile, 1 with steps by "
        f"hand, 1 with failed checks (own-ci-steps, own-dockerfile, own-log-format). Release {NEXT}.\n"
    )
    origin.record(**known)
    origin.change("After the result")
    assert f"{RESULT} has no result of this commit for {len(OWNERS) + 1} of" in origin.refused(MINOR)
    (origin.clone / RESULT).write_text("<<<<<<< HEAD\n")
    origin.commit("Damage the result")
    assert f"{RESULT} has no result of this commit for {len(OWNERS)} of" in origin.refused(MINOR)
    origin.record(**known)
    origin.release(MINOR)
    origin.prepare(NEXT)
    origin.record(own_ci_steps=red)
    origin.release(NEXT)


def test_moves_since_the_last_release_are_in_a_table_or_have_a_waiver(template: Path) -> None:
    assert unhandled_moves(template, releases()[LAST], Version(LAST)) == []


def test_move_without_entry_is_refused(template: Path, tmp_path: Path) -> None:
    clone, base = tmp_path / "clone", run("git", "rev-parse", "HEAD", cwd=template).stdout.strip()
    run("git", "clone", "--quiet", template, clone, cwd=tmp_path)

    def check() -> list[str]:
        commit_all(clone, "Next")
        return [problem.partition(". ")[0] for problem in unhandled_moves(clone, base, Version("999.0.0"))]

    package = "template/src/{{ package_name }}"
    # A changed condition, a changed suffix, a deleted and a new file are no moves.
    run("git", "mv", f"{package}/{{% if jwt %}}security.py{{% endif %}}", f"{package}/security.py", cwd=clone)
    run("git", "mv", "template/alembic.ini", "template/alembic.ini.jinja", cwd=clone)
    run("git", "rm", "--quiet", "template/.editorconfig", cwd=clone)
    (clone / package / "clock.py").write_text("NOW = 1\n")
    assert check() == []
    # Git finds a file with similar content. A file that also changed much has the same name.
    run("git", "mv", f"{package}/errors.py", f"{package}/failures.py", cwd=clone)
    run("git", "mv", f"{package}/logs.py", f"{package}/utils/logs.py", cwd=clone)
    (clone / package / "utils/logs.py").write_text("LOGS = 1\n")
    moves = {
        "src/PACKAGE/errors.py": "src/PACKAGE/failures.py",
        "src/PACKAGE/logs.py": "src/PACKAGE/utils/logs.py",
    }
    assert check() == [f"{former} moved to {path}" for former, path in moves.items()]
    assert moved_files(clone, base) == moves
    # A table counts if copier.yml lists it for a version after the release.
    assert tables_since(clone, Version("0.2.0")) == ["moves_1_0_0.yml"]
    assert tables_since(clone, Version("1.0.0")) == []
    table = clone / "hooks/moves_1000.yml"
    table.write_text(yaml.safe_dump({"files": {"src/PACKAGE/errors.py": "src/PACKAGE/failures.py"}}))
    assert len(check()) == 2
    migration = "_migrations:\n  - version: v1000.0.0\n    command: [python, rename.py, moves_1000.yml]\n"
    replace(clone, "copier.yml", "_migrations:\n", migration)
    assert check() == ["src/PACKAGE/logs.py moved to src/PACKAGE/utils/logs.py"]
    # A waiver needs a reason and a move.
    waivers = clone / "hooks/waivers.yml"
    waivers.write_text("- path: src/PACKAGE/logs.py\n  reason: Nobody changes it.\n")
    assert check() == []
    waivers.write_text("- path: src/PACKAGE/logs.py\n- path: src/PACKAGE/errors.py\n  reason: It was moved before.\n")
    assert check() == [
        "hooks/waivers.yml has src/PACKAGE/errors.py, which did not move since 999.0.0, or is in a table of hooks/",
        "hooks/waivers.yml has no reason for src/PACKAGE/logs.py.",
    ]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("{% if jwt %}deploy{% endif %}/{% if a and b %}x.yml{% endif %}.jinja", "deploy/x.yml"),
        ("src/{{ package_name }}/main.py", "src/PACKAGE/main.py"),
        ("{{ '.gitignore' }}", ".gitignore"),
        ("{{ _copier_conf.answers_file }}.jinja", ".copier-answers.yml"),
    ],
)
def test_rendered_path_has_no_conditions(name: str, path: str) -> None:
    assert rendered_path(name) == path
