"""Examine one project: merge the update, run its checks, and push it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import IO

from packaging.version import Version

from .. import __version__
from ..notices import NoticesError, notices_for, read_notices, settings_in, task_list
from ..template_source import as_version, split
from ..update import has_markers
from . import clones, push
from .checks import TARGETS, run_check, run_checks
from .clones import Found
from .merge import keep_own_lines
from .model import FleetError, Result, TrustError, load_result
from .processes import git, redact, run
from .templates import Target
from .text import title

MERGE_TIMEOUT = 900
"""Seconds."""


@dataclass(frozen=True)
class Options:
    """Options that apply to each project.

    Attributes:
        work: the work directory.
        trusted: the addresses of the templates whose code may run.
        verify: whether to run the checks of the merged project.
        commands: the commands to run in the merged project before its checks.
        push: whether to push branches.
        tool: the provider's program for requests, or None.
        fresh: whether to ignore the results of earlier runs.
    """

    work: Path
    trusted: frozenset[str] = frozenset()
    verify: bool = False
    commands: Sequence[str] = ()
    push: bool = False
    tool: str | None = None
    fresh: bool = False


def examine(found: Found, target: Target, options: Options) -> Result:
    """Return the report of a project. An earlier result of the same input is used again.

    Raises:
        FleetError: the project cannot be examined.
    """
    path = options.work / "results" / f"{found.slug}.json"
    former = load_result(path)
    key = key_of(found, target, options)
    if former and former.key == key and not options.fresh and (not options.push or has_commit(former, found, options)):
        result = replace(former, problem="")
    else:
        start = time.monotonic()
        result = update(found, target, options)
        result.seconds = round(time.monotonic() - start, 1)
        result.key = key
        if former and former.update_branch == push.branch_name(result):
            result.pushed, result.request = former.pushed, former.request
        result.save(path)
    if options.push and result.merged:
        publish(result, found, options)
        result.save(path)
    return result


def key_of(found: Found, target: Target, options: Options) -> str:
    checks = [*options.commands, *(TARGETS if options.verify else ())]
    trusted = target.address in options.trusted
    parts = [__version__, found.commit, found.subfolder, target.address, target.commit, trusted, checks]
    return sha256(json.dumps(parts).encode()).hexdigest()


def has_commit(result: Result, found: Found, options: Options) -> bool:
    """Return whether the work directory still has the commit of an earlier run."""
    if not result.merged:
        return True
    try:
        git(options.work / "projects" / found.slug, "cat-file", "-e", result.merged)
    except (FleetError, OSError):
        return False
    return True


def begin(found: Found, target: Target | None = None) -> Result:
    """Return what is known of a project before its update."""
    former = found.answers.get("_commit")
    result = Result(
        name="",
        address=found.source.shown,
        subfolder=found.subfolder,
        commit=found.commit,
        branch=found.branch,
        template=redact(str(found.answers.get("_src_path", ""))),
        version=former.removeprefix("v") if isinstance(former, str) else "",
        answers={name: value for name, value in found.answers.items() if not name.startswith("_")},
        problem=found.problem,
    )
    if target:
        result.target = target.version
        result.behind = target.releases_after(result.version)
        result.choices = target.non_defaults(result.answers)
    return result


def update(found: Found, target: Target, options: Options) -> Result:
    result = begin(found, target)
    former, new = as_version(result.version), as_version(target.version)
    if former and former == new and split(result.version)[1] == 0:
        result.state = "current"
        return result
    directory = options.work / "projects" / found.slug
    log = options.work / "logs" / f"{found.slug}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    result.log = str(log.absolute())
    with log.open("w", encoding="utf-8") as output:
        project = clones.check_out(found, directory)
        merge(result, project, target, options, output)
        if result.state in ("current", "failed"):
            return result
        if former and new:
            add_notices(result, project, target, former, new)
        commit(result, directory)
        if result.state == "merges":
            verify(result, project, options, output)
    return result


def merge(result: Result, project: Path, target: Target, options: Options, log: IO[str]) -> None:
    """Update a project, and keep the owner's lines in conflicts."""
    print(f"$ standfast update --to {target.ref}", file=log, flush=True)
    output = options.work / "results" / f"{sha256(str(project).encode()).hexdigest()[:12]}.update"
    trust = "trust" if target.address in options.trusted else ""
    command = [sys.executable, "-m", "standfast.fleet.merge", str(project.absolute()), target.ref, trust]
    output.parent.mkdir(parents=True, exist_ok=True)
    source = Path(__file__).resolve().parents[2]
    status, _, _ = run([*command, str(output.absolute())], source, {}, MERGE_TIMEOUT, log)
    if status:
        raise FleetError(f"The update stopped with exit status {status}. See {result.log}.")
    groups = json.loads(output.read_text("utf-8"))
    output.unlink()
    if error := groups.get("error"):
        raise (TrustError if groups.get("trust") else FleetError)(redact(error))
    result.files = {group: paths for group, paths in groups.items() if paths}
    result.conflicts = [keep_own_lines(project, path) for path in groups["conflicts"]]
    changed = git(project, "status", "--porcelain", ".")
    result.state = "conflicts" if result.conflicts else "merges" if changed else "current"
    marked = [path for group in ("new", "updated", "merged", "conflicts") for path in groups[group]]
    if wrong := [path for path in marked if has_markers(project / path)]:
        raise FleetError(f"{wrong[0]} has conflict markers that cannot be resolved. Update this project by hand.")


def add_notices(result: Result, project: Path, target: Target, former: Version, new: Version) -> None:
    file = target.directory / "notices.yml"
    if not file.exists():
        return
    settings = {name for path in project.glob(".env*") if path.is_file() for name in settings_in(path)}
    try:
        notices = read_notices(file)
        concerning = notices_for(notices, former=former, new=new, answers=result.answers, settings=settings)
    except NoticesError as error:
        raise FleetError(f"The notices of the template cannot be read. {error}") from None
    result.tasks = task_list(concerning)
    result.notices = [notice.summary for notice in concerning]
    result.by_hand = sum(notice.by_hand for notice in concerning)


def commit(result: Result, directory: Path, *options: str) -> None:
    """Commit the merge in the work directory."""
    git(directory, "add", "--all")
    text = directory / ".git" / "message"
    tree = git(directory, "write-tree").strip()
    text.write_text(f"{title(result)}\n\n{commit_body(result)}\n\n{push.TREE}: {tree}\n", "utf-8")
    try:
        git(directory, "var", "GIT_COMMITTER_IDENT")
    except FleetError:  # A report must not require a name and an address.
        git(directory, "config", "user.name", "standfast fleet")
        git(directory, "config", "user.email", "standfast@localhost")
    git(directory, "commit", "--quiet", "--no-verify", "--file", str(text), *options)
    result.merged = git(directory, "rev-parse", "HEAD").strip()


def commit_body(result: Result) -> str:
    if result.conflicts:
        names = "\n".join(f"- {conflict.path}" for conflict in result.conflicts)
        return (
            f"The template's changes of these files are missing, because they conflict with the project's:\n\n{names}"
        )
    return f"The former version was {result.version}."


def verify(result: Result, project: Path, options: Options, log: IO[str]) -> None:
    """Run commands and checks in the merged project. Changes of the commands become a part of the commit."""
    directory = Path(git(project, "rev-parse", "--show-toplevel").strip())
    prepared = run_checks(project, options.commands, options.work / "caches", log, stop=True)
    if options.commands and git(directory, "status", "--porcelain"):
        commit(result, directory, "--amend")
    result.checks = prepared
    if options.verify and all(check.passed for check in prepared):
        result.checks += run_checks(project, TARGETS, options.work / "caches", log)
        compare(result, directory, project, options.work / "caches", log)
    # The environment of a project has hundreds of megabytes.
    git(directory, "clean", "-ffdxq")


def compare(result: Result, directory: Path, project: Path, caches: Path, log: IO[str]) -> None:
    """Run failed checks without the update, so that the report can say which failures are new."""
    failed = [check for check in result.checks if check.command in TARGETS and not check.passed]
    if not failed:
        return
    print(f"\nThe failed checks without the update, at {result.commit[:12]}:", file=log, flush=True)
    git(directory, "clean", "-ffdxq")
    git(directory, "checkout", "--quiet", "--force", "--detach", result.commit)
    for check in failed:
        check.before = run_check(project, check.command, caches, log).passed
    git(directory, "checkout", "--quiet", "--force", "--detach", result.merged)


def publish(result: Result, found: Found, options: Options) -> None:
    """Push the branch and open a request. A failure becomes the problem of the project."""
    directory = options.work / "projects" / found.slug
    text = options.work / "requests" / f"{found.slug}.md"
    try:
        new = result.pushed != result.merged
        push.push(result, directory)
        if options.tool and (new or not result.request):
            push.request(result, directory, options.tool, text)
    except FleetError as error:
        result.problem = str(error)
