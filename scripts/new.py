"""Render a service from the commit of this working copy: `make new`.

The service records an address of the template, which later updates read. It is the address of the remote, because other
machines do not have this working copy. Copier still reads the working copy, so the command needs no network.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

from yaml import YAMLError, safe_load

ROOT = Path(__file__).resolve().parents[1]
COPIER_KNOWS = ("git@", "git://", "git+", "https://github.com/", "https://gitlab.com/")
"""The starts of addresses that Copier takes for a git repository. It takes each address with `.git` at its end, too."""


class Source(NamedTuple):
    """The repository and the commit that a project records."""

    address: str
    commit: str
    warning: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(description="Render a service from the commit of this working copy.")
    parser.add_argument("destination", type=Path)
    parser.add_argument("--defaults", action="store_true", help="use the default answers, without questions")
    parser.add_argument("--data-file", type=Path, help="read answers from this YAML file")
    arguments = parser.parse_args()

    destination: Path = arguments.destination
    if destination.is_file() or (destination.exists() and any(destination.iterdir())):
        sys.exit(f"{destination} already exists and is not an empty directory. Choose another DEST, or remove it.")
    data = read_answers(arguments.data_file) if arguments.data_file else {}
    source = find_source(destination)
    if source.warning:
        print(source.warning, file=sys.stderr)
    render(source, destination, data, defaults=arguments.defaults or not sys.stdin.isatty())


def read_answers(path: Path) -> dict[str, object]:
    """Return the answers in a YAML file. Copier would ignore names that it does not know, and use the defaults."""
    try:
        answers = safe_load(path.read_text("utf-8")) or {}
    except OSError as error:
        sys.exit(f"Cannot open {error.filename}: {error.strerror}.")
    except (UnicodeDecodeError, YAMLError) as error:
        sys.exit(f"{path} is not valid YAML: {error}".replace("\n", " "))
    if not isinstance(answers, dict):
        sys.exit(f"{path} has no answers. Write one in each line, such as `project_name: Orders`.")
    questions = safe_load((ROOT / "copier.yml").read_text("utf-8"))
    # The answers file of another project has keys of Copier, too.
    if unknown := next((name for name in answers if not str(name).startswith("_") and name not in questions), None):
        sys.exit(f"The template has no question {unknown}, which {path} answers. The questions are in README.md.")
    return answers


def render(source: Source, destination: Path, data: dict[str, object], *, defaults: bool) -> None:
    existed = destination.exists()
    with tempfile.TemporaryDirectory() as cache:
        use_working_copy_as(source.address, cache)
        # Copier copies the environment when it is imported.
        from copier import run_copy
        from copier.errors import CopierAnswersInterrupt, ShallowCloneWarning, UserMessageError

        warnings.simplefilter("ignore", ShallowCloneWarning)
        try:
            run_copy(source.address, destination, data=data, defaults=defaults, vcs_ref=source.commit)
        except OSError as error:
            sys.exit(f"Cannot open {error.filename}: {error.strerror}.")
        except CopierAnswersInterrupt:
            sys.exit("Interrupted. Nothing was rendered.")
        except (ValueError, UserMessageError) as error:
            sys.exit(str(error))
        finally:
            if not existed and destination.exists() and not any(destination.iterdir()):
                destination.rmdir()


def use_working_copy_as(address: str, cache: str) -> None:
    """Let git read the working copy when Copier asks for the address.

    Copier keeps clones for later. The clone of the working copy has commits that the remote may not have, so it goes to
    a temporary directory.
    """
    os.environ["COPIER_CACHE_DIR"] = cache
    if not Path(address).exists():
        url = address.removeprefix("git+")
        count = int(os.environ.get("GIT_CONFIG_COUNT", "0"))
        for number, form in enumerate((url, f"{url}.git"), count):  # Copier adds `.git` to some addresses.
            os.environ[f"GIT_CONFIG_KEY_{number}"] = f"url.{ROOT}.insteadOf"
            os.environ[f"GIT_CONFIG_VALUE_{number}"] = form
        os.environ["GIT_CONFIG_COUNT"] = str(count + 2)


def find_source(destination: Path) -> Source:
    """Return the address of the first remote that has the commit. Otherwise, return the path of the working copy."""
    try:
        top = git("rev-parse", "--show-toplevel")
    except FileNotFoundError:
        sys.exit("Cannot find git. Install it.")
    if not top or Path(top).resolve() != ROOT:
        sys.exit(
            f"{ROOT} is not a git repository of yours, so no update could read it again. Clone the template with git."
        )
    # Other untracked files, such as answers for DATA, do not change what is rendered.
    if git("status", "--porcelain", "--untracked-files=no") or git("status", "--porcelain", "template", "licenses"):
        sys.exit(
            f"{ROOT} has uncommitted changes, and no update could find them again. Commit them first. "
            f"To try them only, run: .venv/new/bin/copier copy --vcs-ref HEAD . {destination}"
        )
    commit = git("rev-parse", "HEAD")
    for remote in sorted(git("remote").splitlines(), key=lambda name: (name != "origin", name)):
        if has_commit(remote, commit):
            address = public_address(git("config", f"remote.{remote}.url"))
            if Path(address).exists() or address.startswith("git+file:"):
                return Source(
                    address,
                    commit,
                    f"Warning: the remote {remote} is a directory, so only machines with {address} can update the "
                    "project. If the repository moves, write its URL to _src_path in .copier-answers.yml.",
                )
            return Source(address, commit)
    return Source(
        str(ROOT),
        commit,
        f"Warning: no remote has the commit {commit[:9]} and its tags, so only this machine can update the project, "
        f"from {ROOT}. To avoid this, push them and run the command again in a new DEST.",
    )


def has_commit(remote: str, commit: str) -> bool:
    """Return whether the remote has the commit, and all tags of it.

    A project records the tag of its commit. The remote is asked only if its local branches cannot tell.
    """
    in_branch = bool(git("branch", "--remotes", "--contains", commit, "--list", f"{remote}/*"))
    tags = {f"refs/tags/{tag}" for tag in git("tag", "--points-at", commit).splitlines()}
    if in_branch and not tags:
        return True
    listed = git("ls-remote", "--heads", "--tags", remote, seconds=15)
    if not listed:
        return in_branch  # The remote cannot be reached.
    found = {name.removesuffix("^{}"): object_ for object_, name in map(str.split, listed.splitlines())}
    return tags <= found.keys() and (in_branch or commit in found.values())


def public_address(url: str) -> str:
    """Return the address of a remote as Copier understands it, without a password."""
    if "://" in url:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https"):
            url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    elif not re.match(r"[^/]+:", url):
        return str((ROOT / url).resolve())
    return url if url.endswith(".git") or url.startswith(COPIER_KNOWS) else f"git+{url}"


def git(*arguments: str, seconds: float | None = None) -> str:
    """Return the output of git, or nothing if it fails."""
    try:
        finished = subprocess.run(
            ["git", "-C", str(ROOT), *arguments],
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        return ""
    return "" if finished.returncode else finished.stdout.strip()


if __name__ == "__main__":
    main()
