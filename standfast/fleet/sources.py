"""Read the list of repositories."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath

import click

from ..project import ANSWERS_FILE
from .processes import redact


@dataclass(frozen=True)
class Source:
    """A repository of the list."""

    address: str
    """An address for `git clone`. The path of a directory is absolute."""
    subfolder: str | None = None
    """The directory of the project. If it is None, the repository is searched for projects."""

    @property
    def directory(self) -> Path | None:
        """The directory on this machine, or None for a repository that only has an address."""
        path = Path(self.address)
        return path if path.is_dir() else None

    @property
    def shown(self) -> str:
        """The address without a password."""
        return redact(self.address)

    @property
    def slug(self) -> str:
        """A file name for this repository."""
        return unique_name(PurePosixPath(self.shown).name.removesuffix(".git"), self.address)


def unique_name(readable: str, whole: str) -> str:
    """Return a file name that starts like a text, and differs for each `whole`."""
    short = re.sub(r"[^A-Za-z0-9]+", "-", readable).strip("-")[:40]
    return f"{short}-{sha256(whole.encode()).hexdigest()[:8]}"


def read_sources(arguments: Iterable[Path]) -> list[Source]:
    """Return the repositories that files and directories name.

    A file has one address in each line, with an optional `#subfolder`. Lines that start with `#` are comments. A
    directory is a repository, a project in one, or it contains repositories.

    Raises:
        ClickException: an argument names no repository.
    """
    found: dict[Source, None] = {}  # in the order of the arguments, without duplicates
    for argument in arguments:
        read = read_directory(argument) if argument.is_dir() else read_file(argument)
        if not read:
            raise click.ClickException(
                f"{argument} has no repositories. Name a git repository, a directory of repositories, or a file with "
                "one address in each line."
            )
        found |= dict.fromkeys(read)
    return list(found)


def read_directory(directory: Path) -> list[Source]:
    if is_repository(directory):
        return [Source(str(directory.resolve()))]
    if (directory / ANSWERS_FILE).exists():
        path = directory.resolve()
        roots = [parent for parent in path.parents if is_repository(parent)]
        return [Source(str(root), path.relative_to(root).as_posix()) for root in roots[:1]]
    return [Source(str(path.resolve())) for path in sorted(directory.iterdir()) if is_repository(path)]


def is_repository(directory: Path) -> bool:
    return (directory / ".git").exists() or ((directory / "HEAD").is_file() and (directory / "objects").is_dir())


def read_file(file: Path) -> list[Source]:
    try:
        lines = file.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"Cannot read {file}: {' '.join(str(error).split())}") from None
    return [
        read_line(line.strip(), file, number)
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.strip().startswith("#")
    ]


def read_line(line: str, file: Path, number: int) -> Source:
    """Return the repository of a line. A relative path starts at the directory of the file."""
    address, separator, subfolder = line.partition("#")
    address = address.strip()
    folder = PurePosixPath(subfolder.strip())
    place = f"{file}, line {number}"
    if address.startswith("-") or re.search(r"\s", address):
        raise click.ClickException(f"{place}: {redact(line)} is not an address. Write one address in each line.")
    if separator and (folder.is_absolute() or ".." in folder.parts):
        raise click.ClickException(f"{place}: {subfolder} is not a directory of the repository. Write services/orders.")
    local = (file.parent / Path(address).expanduser()).resolve()
    if local.is_dir():
        address = str(local)
    return Source(address, folder.as_posix() if separator else None)


def short_names(keys: list[tuple[str, str]]) -> list[str]:
    """Return the shortest unique name of each project: the end of its address, and the subfolder.

    Args:
        keys: the address without a password, and the subfolder, of each project.
    """

    def name(address: str, subfolder: str, parts: int) -> str:
        path = re.split(r"[/\\:]+", address.rstrip("/\\").removesuffix("/.git").removesuffix(".git"))
        return "/".join([part for part in path if part][-parts:]) + (f"#{subfolder}" if subfolder else "")

    names = [name(*key, 1) for key in keys]
    for parts in range(2, 6):
        repeated = {found for found, count in Counter(names).items() if count > 1}
        names = [name(*key, parts) if shown in repeated else shown for key, shown in zip(keys, names, strict=True)]
    return names
