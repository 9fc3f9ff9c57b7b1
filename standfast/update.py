"""Update a project to a newer template version: on a branch, or in a preview that changes nothing.

Copier changes the working directory and the standard error of the process. So run one update at a time in a process.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shlex
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from copier import VcsRef, run_copy, run_update
from copier._main import Worker  # Only this class knows which scripts an update would run.
from copier.errors import (
    CopierError,
    CopierWarning,
    TaskError,
    UnsafeTemplateError,
    UnsupportedVersionError,
)
from plumbum import ProcessExecutionError

from .git import git, git_bytes
from .project import ANSWERS_FILE, Project, read_project
from .template_source import check_source, recorded

CURRENT = "current"
"""The `to` of an update that keeps the template version, to change answers only."""

UNTIL_NEWEST = "Run the command again with `uvx --refresh`."


class UpdateError(click.ClickException):
    """An update or a render that failed. It changed nothing, and the message has the remedy."""


class TrustRequiredError(UpdateError):
    """The update runs scripts of the template, so the owner has to read them first.

    Args:
        scripts: the paths of the scripts and their tables, in the template's repository.
        template: the template's address.
        version: the version that has the scripts.
    """

    def __init__(self, scripts: list[str], template: str, version: str) -> None:
        self.scripts = scripts
        super().__init__(
            f"The update runs {' and '.join(scripts) or 'scripts'} of the template. Read this code in {template} "
            f"at {version}, then run the command again with --trust."
        )


@dataclass(frozen=True)
class UpdatePreview:
    """The result of an update. All paths are relative to the project.

    Attributes:
        former_version: the template version of the project, as in `_commit`.
        new_version: the template version after the update.
        new: files that only the new version has.
        updated: files that the owner did not change, and the update does.
        merged: files that the owner and the template changed, without a conflict.
        kept: files of the owner that the update leaves although the template does not, with the reason.
        deleted: files that the template does not have any more.
        lost: the files of `deleted` that the owner had changed.
        conflicts: files in which the owner and the template changed the same lines.
        diff: the changes, as `git diff` prints them.
        message: the next steps that the template prints after an update.
        note: why there is nothing to update, if the project is newer than every release.
    """

    former_version: str
    new_version: str
    new: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    merged: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    diff: str = ""
    message: str = ""
    note: str = ""

    @property
    def changed(self) -> list[str]:
        """Return the files that the update writes or deletes, without the answers file."""
        return sorted([*self.new, *self.updated, *self.merged, *self.deleted, *self.conflicts])


@dataclass(frozen=True)
class AppliedUpdate:
    """An update that is applied and not committed.

    Attributes:
        preview: the changes.
        branch: the new branch; None if there were no changes.
        former: the branch or commit before the update.
    """

    preview: UpdatePreview
    branch: str | None
    former: str


@dataclass(frozen=True)
class UpdatedClone:
    """A clone with an update.

    Attributes:
        directory: the project in the clone. All changes are staged.
        preview: the changes.
        unmerged: git's index entries of files with conflicts.
    """

    directory: Path
    preview: UpdatePreview
    unmerged: list[str]


def preview_update(
    project: Path, *, to: str | None = None, data: Mapping[str, object] | None = None, trust: bool = False
) -> UpdatePreview:
    """Update a clone of the project's last commit, and return what changed. The project stays as it is.

    Args:
        project: the root of the project. It can be a subdirectory of its git repository.
        to: a tag or commit of the template; None is the newest version, and CURRENT keeps the version.
        data: new answers by question.
        trust: whether the update may run scripts of the template.

    Raises:
        UpdateError: the update cannot run.
    """
    with updated_clone(project, to=to, data=data, trust=trust) as clone:
        return clone.preview


def apply_update(
    project: Path, *, to: str | None = None, data: Mapping[str, object] | None = None, trust: bool = False
) -> AppliedUpdate:
    """Update the project on a new branch, unless there is nothing to update.

    The update runs in a clone. So the project changes only if the update worked. Nothing is committed.

    Args:
        project: see `preview_update`, as for all arguments.

    Raises:
        UpdateError: the update cannot run. The project is unchanged.
    """
    root = repository(project)
    if git(root, "status", "--porcelain"):
        raise UpdateError(f"{root} has uncommitted changes. Commit or stash them first: see `git status`.")
    former = git(project, "branch", "--show-current").strip() or git(project, "rev-parse", "HEAD").strip()
    with updated_clone(project, to=to, data=data, trust=trust) as clone:
        preview = clone.preview
        if not preview.diff:
            return AppliedUpdate(preview, None, former)
        branch = free_branch(project, preview)
        applied = AppliedUpdate(preview, branch, former)
        git(project, "switch", "--quiet", "--create", branch)
        try:
            for path in [ANSWERS_FILE, *preview.changed]:
                transfer(clone.directory / path, project / path)
            mark_conflicts(clone, project)
        except BaseException as error:  # Also Ctrl-C.
            for command in undo_commands(applied):
                git(project, *command)
            if isinstance(error, OSError):
                raise UpdateError(
                    f"Cannot write {error.filename} ({error.strerror}). The project is unchanged. Correct the rights "
                    "of the file and its directory."
                ) from None
            raise
    return applied


def repository(project: Path) -> Path:
    """Return the root of the git repository of a project.

    Raises:
        UpdateError: the project is not in a repository with a commit, or the answers file is not committed.
    """
    try:
        root = git(project, "rev-parse", "--show-toplevel").strip()
    except click.ClickException as error:
        if "not a git repository" not in error.message:
            raise UpdateError(error.message) from None
        raise UpdateError(
            f"{project.absolute()} is not in a git repository, and updates merge with git. Run: "
            'git init -b main && git add -A && git commit -m "Start"'
        ) from None
    try:
        git(project, "cat-file", "-e", f"HEAD:./{ANSWERS_FILE}")
    except click.ClickException:
        raise UpdateError(
            f"{ANSWERS_FILE} is not committed, and updates start from the last commit. Commit it."
        ) from None
    return Path(root)


@contextlib.contextmanager
def updated_clone(
    directory: Path, *, to: str | None, data: Mapping[str, object] | None, trust: bool
) -> Iterator[UpdatedClone]:
    """Update a temporary clone of the project's last commit."""
    root = repository(directory)
    prefix = git(directory, "rev-parse", "--show-prefix").strip()
    with tempfile.TemporaryDirectory(prefix="standfast-update-") as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore", CopierWarning)
        top, old = Path(temporary, "project"), Path(temporary, "old")
        git(root, "clone", "--quiet", "--shared", "--no-checkout", ".", str(top))
        git(top, "checkout", "--quiet", "--detach", git(root, "rev-parse", "HEAD").strip())
        project = read_project(top / prefix)
        note = check_source(project, str(project.answers.get("_commit")) if to == CURRENT else to)
        if note is not None:
            version = str(project.answers["_commit"])
            yield UpdatedClone(project.directory, UpdatePreview(version, version, note=note), [])
            return
        message, migrated = run_in(project, to=to, data=dict(data or {}), trust=trust)
        render(project, old)
        yield classify(directory, project, old, message, answers_changed=bool(data), migrated=migrated)


def run_in(project: Project, *, to: str | None, data: dict[str, Any], trust: bool) -> tuple[str, bool]:
    """Run Copier's update in a clone.

    Return the next steps that the template prints, and whether scripts of the template ran.
    """
    with remedies(project, to), captured_stderr() as printed:
        worker = run_update(
            project.directory,
            data=data,
            vcs_ref=VcsRef.CURRENT if to == CURRENT else to,
            defaults=True,
            overwrite=True,
            skip_answered=False,
            unsafe=trust,
        )
    if unknown := sorted(data.keys() - worker.template.questions_data.keys()):
        raise UpdateError(
            f"The template has no question {unknown[0]}. The questions are in {ANSWERS_FILE}. Correct the name."
        )
    message = re.sub(r"^(Keeping|Updating to) template version .*\n", "", printed[0], count=1, flags=re.M).strip("\n")
    assert worker.subproject.template
    return message, bool(worker.template.migration_tasks("after", worker.subproject.template))


def render(project: Project, directory: Path, **changes: str) -> None:
    """Render the project's version of the template with its answers into a directory.

    Args:
        changes: answers that differ from those of the project.

    Raises:
        UpdateError: the template or its version cannot be read, or an answer is not valid.
    """
    source, version = recorded(project, "_src_path"), recorded(project, "_commit")
    answers = {name: answer for name, answer in project.answers.items() if not name.startswith("_")}
    with remedies(project, None):
        run_copy(source, directory, data=answers | changes, vcs_ref=version, defaults=True, quiet=True)


@contextlib.contextmanager
def captured_stderr() -> Iterator[list[str]]:
    """Yield a list that gets the messages of Copier and of the template's scripts at the end.

    After an error, the messages are printed.
    """
    captured: list[str] = []
    with tempfile.TemporaryFile() as file:
        sys.stderr.flush()
        terminal = os.dup(2)
        os.dup2(file.fileno(), 2)  # The scripts write to the file descriptor, not to sys.stderr.
        try:
            with os.fdopen(os.dup(2), "w", encoding="utf-8") as stream, contextlib.redirect_stderr(stream):
                yield captured
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
            file.seek(0)
            captured.append(file.read().decode("utf-8", "replace"))
            if isinstance(sys.exception(), TaskError):
                click.echo(captured[0], err=True, nl=False)


@contextlib.contextmanager
def remedies(project: Project, to: str | None) -> Iterator[None]:
    """Turn the errors of Copier and git into one line with the remedy."""
    template = project.answers["_src_path"]
    try:
        yield
    except UnsafeTemplateError:
        raise TrustRequiredError(*scripts_of_update(project, to)) from None
    except UnsupportedVersionError as error:
        raise UpdateError(f"{one_line(error)} {UNTIL_NEWEST}") from None
    except TaskError as error:
        raise UpdateError(
            f"A script of the template failed with exit status {error.returncode}: {one_line(error.cmd)}. "
            f"The project is unchanged. Report the output above to the template {template}."
        ) from None
    except (CopierError, ValueError, TypeError) as error:
        if "Unknown revision" in str(error):
            version = to if to and repr(to) in str(error) else project.answers["_commit"]
            raise UpdateError(
                f"The template {template} has no version {version}. Check the version, and the addresses of the "
                f"template in {ANSWERS_FILE}."
            ) from None
        raise UpdateError(one_line(error)) from None
    except ProcessExecutionError as error:
        reason = error.stderr.strip().splitlines()[-1:] or [f"git exited with {error.retcode}"]
        raise UpdateError(
            f"Cannot get the template from {template} ({reason[0]}). Check the address _src_path in {ANSWERS_FILE}, "
            "the network, and your access to the repository."
        ) from None


def scripts_of_update(project: Project, to: str | None) -> tuple[list[str], str, str]:
    """Return the scripts that the update runs, the template's address, and the new version."""
    with Worker(dst_path=project.directory, vcs_ref=VcsRef.CURRENT if to == CURRENT else to) as worker:
        assert worker.subproject.template
        tasks = worker.template.migration_tasks("after", worker.subproject.template)
        version = str(worker.template.commit)
    words = [word for task in tasks for word in (task.cmd.split() if isinstance(task.cmd, str) else task.cmd)]
    scripts = [found[0] for word in words if (found := re.search(r"hooks/[\w./-]+", word))]
    tables = [f"hooks/{word}" for word in words if word.endswith(".yml")]
    return list(dict.fromkeys([*scripts, *tables])), str(project.answers["_src_path"]), version


def classify(
    original: Path, project: Project, old: Path, message: str, *, answers_changed: bool, migrated: bool
) -> UpdatedClone:
    """Stage all changes of the clone, and group them.

    Args:
        original: the project itself, whose ignored files are not in the clone.
        project: the project in the clone, with its former answers.
        old: a render of the former version with the former answers.
        message: the next steps that the template prints.
        answers_changed: whether the owner may have switched off the code of deleted files. So they are not restored.
        migrated: whether scripts of the template ran. They treat deleted files that the owner had changed.
    """
    clone = project.directory
    unmerged = git(clone, "ls-files", "--unmerged", "--full-name", "-z", ".")
    git(clone, "add", "--all", "--force", ".")
    listed = git(clone, "diff", "--cached", "--name-status", "--no-renames", "--relative", "-z", "HEAD").split("\0")
    groups: dict[str, list[str]] = {"A": [], "M": [], "D": []}
    for status, path in zip(listed[:-1:2], listed[1::2], strict=True):
        groups["M" if status == "T" else status].append(path)
    ignored = [path for path in groups["A"] if os.path.lexists(original / path)]
    unwanted = [path for path in groups["A"] if (old / path).is_file()]  # The owner had deleted the file.
    for path in {*ignored, *unwanted}:
        git(clone, "rm", "--quiet", "--cached", "--", path)
        (clone / path).unlink()
        groups["A"].remove(path)
    kept = dict.fromkeys(ignored, "git ignores your file, so the update does not replace it")
    edited = edited_files(clone, old, groups["M"] + groups["D"])
    lost = [] if migrated else [path for path in groups["D"] if path in edited]
    if lost and not answers_changed:
        git(clone, "checkout", "HEAD", "--", *lost)
        kept |= dict.fromkeys(lost, "the template no longer has the file, but you changed it; delete it if you can")
        groups["D"], lost = [path for path in groups["D"] if path not in edited], []
    conflicts = [path for path in groups["A"] + groups["M"] if has_markers(clone / path)]
    mine = {ANSWERS_FILE, *conflicts}
    after = read_project(clone).answers
    preview = UpdatePreview(
        former_version=str(project.answers["_commit"]),
        new_version=str(after["_commit"]),
        new=[path for path in groups["A"] if path not in mine],
        updated=[path for path in groups["M"] if path not in mine | edited],
        merged=[path for path in groups["M"] if path in edited - mine],
        kept=dict(sorted(kept.items())),
        deleted=groups["D"],
        lost=lost,
        conflicts=conflicts,
        diff=git(clone, "diff", "--cached", "--no-renames", "--relative", "HEAD"),
        message=message,
    )
    return UpdatedClone(clone, preview, [record for record in unmerged.split("\0") if record])


def transfer(source: Path, target: Path) -> None:
    """Make the target equal to the source, also if the source does not exist."""
    target.unlink(missing_ok=True)
    if os.path.lexists(source):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target, follow_symlinks=False)
    else:
        with contextlib.suppress(OSError):
            os.removedirs(target.parent)  # It removes only empty directories.


def edited_files(clone: Path, old: Path, paths: list[str]) -> set[str]:
    """Return the files that the owner changed since the former version, or added. Line endings do not count."""
    blobs = {}
    for entry in git(clone, "ls-tree", "-r", "-z", "HEAD").split("\0")[:-1]:
        described, path = entry.split("\t", 1)
        blobs[path] = described.split()[2]

    def is_edited(path: str) -> bool:
        if not (old / path).is_file():
            return True
        rendered = (old / path).read_bytes()
        if blobs[path] == hashlib.sha1(b"blob %d\0%s" % (len(rendered), rendered), usedforsecurity=False).hexdigest():
            return False
        committed = git_bytes(clone, "cat-file", "blob", blobs[path])
        return committed.replace(b"\r\n", b"\n") != rendered.replace(b"\r\n", b"\n")

    return {path for path in paths if is_edited(path)}


def has_markers(path: Path) -> bool:
    """Return whether a file has the conflict markers of Copier, which the scripts of the template also write."""
    lines = set(path.read_bytes().splitlines()) if path.is_file() else set()
    return b"<<<<<<< before updating" in lines or b">>>>>>> after updating" in lines


def mark_conflicts(clone: UpdatedClone, project: Path) -> None:
    """Mark conflicts in git's index, as `git merge` does. So `git commit` refuses to commit them by accident."""
    conflicts = clone.preview.conflicts
    new = git(project, "ls-files", "--others", "-z", "--", *conflicts).split("\0")[:-1] if conflicts else []
    if new:  # `git diff --check` shows a new file only if the index has an entry for it.
        git(project, "add", "--intent-to-add", "--force", "--", *new)
    marked = []
    for record in clone.unmerged:
        entry, path = record.split("\t")
        mode, blob, stage = entry.split()
        copied = git(
            project, "hash-object", "-w", "--stdin", given=git_bytes(clone.directory, "cat-file", "blob", blob)
        )
        marked.append(f"{mode} {copied.strip()} {stage}\t{path}")
    removed = [f"0 {'0' * 40}\t{path}" for path in dict.fromkeys(record.split("\t")[1] for record in clone.unmerged)]
    if marked:
        records = "".join(f"{record}\0" for record in [*removed, *marked])
        git(project, "update-index", "-z", "--index-info", given=os.fsencode(records))


def free_branch(project: Path, preview: UpdatePreview) -> str:
    """Return the name of a branch that does not exist yet. A project in a subdirectory has its name in it."""
    subdirectory = re.sub(r"\W+", "-", git(project, "rev-parse", "--show-prefix")).strip("-")
    version = preview.new_version.removeprefix("v")
    kind = "answers" if preview.new_version == preview.former_version else f"update-{version}"
    name = "-".join(["template", kind, *([subdirectory] if subdirectory else [])])
    branches = set(git(project, "branch", "--all", "--format=%(refname:short)").split())
    return next(each for each in (name, *(f"{name}-{n}" for n in range(2, 10_000))) if each not in branches)


def one_line(text: object) -> str:
    return " ".join(str(text).split())


def report(preview: UpdatePreview, former: str = "HEAD") -> str:
    """Return the changes in groups, the files that need work last.

    Args:
        former: the branch or commit that has the files as they were before the update.
    """
    if not preview.diff:
        return (
            preview.note
            or f"The project has version {preview.new_version} of the template already. There is nothing to update."
        )
    groups = [
        ("New", shortened(preview.new)),
        ("Updated, without changes of yours", shortened(preview.updated)),
        ("Merged with your changes", preview.merged),
        ("Kept", [f"{path}: {reason}" for path, reason in preview.kept.items()]),
        ("Deleted", [path for path in preview.deleted if path not in preview.lost]),
        (f"Deleted, with changes of yours. To restore one: git checkout {former} -- PATH", preview.lost),
        ("Conflicts. The file has the lines of both sides", preview.conflicts),
    ]
    title = f"Update from {preview.former_version} to {preview.new_version}:"
    if preview.former_version == preview.new_version:
        title = f"Changed answers, version {preview.new_version}:"
    return "\n".join([title, *("\n  ".join([f"\n{name}", *paths]) for name, paths in groups if paths)])


def shortened(paths: list[str], most: int = 20) -> list[str]:
    """Return the paths, and the number of further paths if there are many."""
    return paths if len(paths) <= most else [*paths[: most - 1], f"and {len(paths) - most + 1} more"]


def undo_commands(update: AppliedUpdate) -> list[list[str]]:
    """Return the arguments of the git commands that undo an update, also if it wrote only some of its files."""
    detach = ["--detach"] if re.fullmatch("[0-9a-f]{40,}", update.former) else []
    return [
        ["add", "--all", "."],
        ["switch", "--discard-changes", *detach, update.former],
        ["branch", "-D", str(update.branch)],
    ]


def next_steps(update: AppliedUpdate) -> str:
    """Return what to do after an update, and how to undo it."""
    preview = update.preview
    steps = []
    if preview.conflicts:
        steps.append("Resolve the conflicts. This command prints them: git diff --check")
    commit = f'git add --all . && git commit -m "Update the template to {preview.new_version}"'
    steps += ["Read the changes: git diff", "Run: make lint typecheck test", f"Commit: {commit}"]
    undo = " && ".join(shlex.join(["git", *command]) for command in undo_commands(update))
    return "\n".join(
        [
            f"\nThe changes are on the branch {update.branch}, not committed. Next:\n",
            *(f"  {number}. {step}" for number, step in enumerate(steps, 1)),
            *([f"\nNotes of the template:\n{preview.message}"] if preview.message else []),
            f"\nTo undo the update: {undo}",
        ]
    )
