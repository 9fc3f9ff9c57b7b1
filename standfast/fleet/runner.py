"""Examine all projects of a fleet at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import TypeVar

import click

from . import processes
from .clones import Found, find_projects
from .examine import Options, begin, examine
from .model import FleetError, Result, TrustError
from .processes import redact
from .sources import Source, short_names
from .templates import Target, find_target, repository

T = TypeVar("T")
R = TypeVar("R")
Progress = Callable[[str], None]


def run_fleet(
    sources: Sequence[Source],
    options: Options,
    *,
    to: str | None,
    trust: bool,
    templates: Sequence[str],
    jobs: int,
    progress: Progress,
) -> list[Result]:
    """Return the report of each project, in the order of the sources.

    Args:
        sources: the repositories.
        options: what to do with each project.
        to: the version of the template; None is the newest release.
        trust: whether code of the template may run.
        templates: the only templates to trust.
        jobs: the number of projects to examine at the same time.
        progress: gets a line for each finished step.

    Raises:
        ClickException: the trust does not say which template.
    """
    processes.start()
    with ThreadPoolExecutor(jobs) as pool:
        try:
            found = find_all(pool, sources, options.work, progress)
            targets = find_targets(found, to, options.work)
            options = replace(options, trusted=trusted(targets, trust, templates))
            return examine_all(pool, found, targets, options, progress)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            processes.stop()
            raise


def find_all(
    pool: ThreadPoolExecutor, sources: Sequence[Source], work: Path, progress: Progress
) -> list[Found | Result]:
    """Return the projects of all repositories. A repository that cannot be read is a result with the problem."""

    # Several directories of one repository share its clone.
    locks = {source.address: Lock() for source in sources}

    def find(source: Source) -> list[Found | Result]:
        try:
            with locks[source.address]:
                return [*find_projects(source, work)]
        except (FleetError, OSError) as error:
            return [broken(source, error)]

    lists = in_order(
        pool, find, sources, lambda number, source, _: progress(f"read {number}/{len(sources)} {source.shown}")
    )
    # A list can name a repository and also a directory of it.
    unique = {each.slug if isinstance(each, Found) else id(each): each for found in lists for each in found}
    return list(unique.values())


def find_targets(found: Iterable[Found | Result], to: str | None, work: Path) -> dict[str, Target | FleetError]:
    """Return the version to which each template's projects are updated, by the address in the answers."""
    addresses = dict.fromkeys(str(each.answers["_src_path"]) for each in found if is_valid(each))
    targets: dict[str, Target | FleetError] = {}
    for address in addresses:
        try:
            targets[address] = find_target(address, to, work)
        except FleetError as error:
            targets[address] = error
    return targets


def trusted(targets: dict[str, Target | FleetError], trust: bool, templates: Sequence[str]) -> frozenset[str]:
    """Return the addresses of the trusted templates.

    Everybody who can write to a project can change the address of its template. So trust in one template must not
    become trust in each address that a project names.

    Raises:
        ClickException: it is not clear which template is meant.
    """
    if not trust:
        return frozenset()
    addresses: dict[str, set[str]] = {}
    for target in targets.values():
        if isinstance(target, Target):
            addresses.setdefault(repository(target.address), set()).add(target.address)
    wanted = [resolve(address) for address in templates] or list(addresses)
    if len(wanted) > 1 and not templates:
        names = ", ".join(redact(address) for address in wanted)
        raise click.ClickException(
            f"The projects have {len(wanted)} templates: {names}. Name the trusted one with --template."
        )
    return frozenset().union(*(addresses.get(address, set()) for address in wanted))


def resolve(address: str) -> str:
    try:
        return repository(address)
    except FleetError as error:
        raise click.ClickException(f"--template: {error}") from None


def examine_all(
    pool: ThreadPoolExecutor,
    found: Sequence[Found | Result],
    targets: dict[str, Target | FleetError],
    options: Options,
    progress: Progress,
) -> list[Result]:
    def examine_one(project: Found | Result) -> Result:
        if isinstance(project, Result):
            return project
        target = targets.get(str(project.answers.get("_src_path"))) if is_valid(project) else None
        if target is None:
            return begin(project)
        if isinstance(target, FleetError):
            return replace(begin(project), problem=str(target))
        try:
            return examine(project, target, options)
        except (FleetError, OSError) as error:
            result = replace(begin(project, target), problem=redact(" ".join(str(error).split())))
            return replace(result, state="untrusted") if isinstance(error, TrustError) else result
        except Exception as error:  # A defect of this program must not stop the report of the other projects.
            return replace(begin(project), problem=f"Unexpected {type(error).__name__}: {redact(str(error))}")

    keys = [(each.source.shown if isinstance(each, Found) else each.address, each.subfolder) for each in found]
    names = short_names(keys)

    named = {id(project): name for project, name in zip(found, names, strict=True)}

    def finished(number: int, project: Found | Result, result: Result) -> None:
        result.name = named[id(project)]
        progress(f"{number}/{len(found)} {result.name}: {result.problem or result.state}")

    return in_order(pool, examine_one, found, finished)


def in_order(
    pool: ThreadPoolExecutor, function: Callable[[T], R], items: Sequence[T], finished: Callable[[int, T, R], None]
) -> list[R]:
    """Return the results of a function in the order of the items. Call `finished` in the order of the ends."""
    futures = {pool.submit(function, item): item for item in items}
    for number, future in enumerate(as_completed(futures), 1):
        finished(number, futures[future], future.result())
    return [future.result() for future in futures]


def is_valid(project: Found | Result) -> bool:
    return isinstance(project, Found) and not project.problem


def broken(source: Source, error: Exception) -> Result:
    return Result(
        name="", address=source.shown, subfolder=source.subfolder or "", problem=redact(" ".join(str(error).split()))
    )
