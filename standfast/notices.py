"""Read `notices.yml`: what each version of the template changes for owners of projects."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from jinja2 import TemplateError
from jinja2.sandbox import SandboxedEnvironment
from packaging.version import InvalidVersion, Version

UNRELEASED = "unreleased"
"""The version of notices that the next release brings."""

BY_HAND = "To do by hand"
CHANGED = "Changed behavior"
SECTIONS = (
    "Introduction",
    BY_HAND,
    CHANGED,
    "Moved in the package",
    "Renamed",
    "Moved elsewhere",
    "New",
    "Changed texts",
)
"""The sections of a version in the changelog, in their order."""

_CONDITIONS = SandboxedEnvironment()


class NoticesError(ValueError):
    """`notices.yml` has an error. The message names the notice."""


@dataclass(frozen=True)
class Notice:
    """One change that concerns owners of projects.

    Attributes:
        version: the version that brings the change, or `unreleased`.
        text: the change, in Markdown.
        by_hand: the owner must do something. `text` says what.
        section: the heading in the changelog.
        before: the former behavior, if `text` is the new behavior.
        when: a Jinja expression of the answers, such as `auth == 'jwt'`. The notice concerns only projects for which
            it is true. An empty expression concerns all projects.
        restore: a command or a setting that restores the former behavior.
        settings: the removed environment variables, with their new names. None is a variable without successor.
    """

    version: str
    text: str
    by_hand: bool = False
    section: str = CHANGED
    before: str = ""
    when: str = ""
    restore: str = ""
    settings: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """Return the first paragraph of the text, in one line."""
        paragraph = re.sub(r":$", " (see the changelog).", " ".join(self.text.partition("\n\n")[0].split()))
        return f"Before: {self.before} Now: {paragraph}" if self.before else paragraph

    def concerns(self, answers: Mapping[str, Any]) -> bool:
        """Return whether the condition holds for the answers. A missing answer equals no value.

        Raises:
            NoticesError: the condition is not a Jinja expression.
        """
        if not self.when:
            return True
        try:
            return bool(_CONDITIONS.compile_expression(self.when)(**answers))
        except TemplateError as error:
            raise NoticesError(f"The condition {self.when!r} of a notice is not valid: {error}") from None


def read_notices(path: Path) -> list[Notice]:
    """Return the notices of a `notices.yml`, in their order.

    Raises:
        NoticesError: the file has an error.
        OSError: the file cannot be read.
    """
    return [_notice(entry) for entry in _read(path)["notices"]]


def read_dates(path: Path) -> dict[str, str]:
    """Return the date of each version in a `notices.yml`, as 2026-11-25.

    Raises:
        NoticesError: the file has an error.
        OSError: the file cannot be read.
    """
    return {str(version): str(date) for version, date in (_read(path).get("dates") or {}).items()}


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise NoticesError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict) or not isinstance(content.get("notices"), list):
        raise NoticesError(f"{path} has no list `notices`.")
    return content


def _notice(entry: Any) -> Notice:
    if not isinstance(entry, dict):
        raise NoticesError(f"A notice is not a mapping: {entry!r}")
    by_hand = entry.get("by_hand", False)
    try:
        notice = Notice(**{"section": BY_HAND if by_hand else CHANGED, **entry, "version": str(entry.get("version"))})
    except TypeError as error:  # A misspelled or missing field.
        raise NoticesError(f"A notice has wrong fields ({error}): {entry!r}") from None
    if notice.section not in SECTIONS or not isinstance(notice.text, str) or not isinstance(by_hand, bool):
        raise NoticesError(f"A notice has a wrong section, text or by_hand: {entry!r}")
    if notice.version != UNRELEASED:
        try:
            Version(notice.version)
        except InvalidVersion:
            raise NoticesError(f"A notice has the version {notice.version}. Write 1.2.0 or unreleased.") from None
    return notice


def notices_for(
    notices: Sequence[Notice],
    *,
    former: Version,
    new: Version,
    answers: Mapping[str, Any],
    settings: Iterable[str] = (),
) -> list[Notice]:
    """Return the notices that concern an update of a project.

    Args:
        notices: the notices of the new version.
        former: the version of the project.
        new: the version after the update. If it is newer than all released notices, unreleased ones concern it too.
        answers: the answers of the project. Derived values such as `jwt` are not needed.
        settings: the environment variables that the project sets. A notice of removed variables concerns only
            projects that set one of them.
    """
    newest = max((Version(each.version) for each in notices if each.version != UNRELEASED), default=None)
    present = {name.upper() for name in settings}

    def is_crossed(notice: Notice) -> bool:
        if notice.version == UNRELEASED:
            return former < new and (newest is None or new > newest)
        return former < Version(notice.version) <= new

    return [
        notice
        for notice in notices
        if is_crossed(notice)
        and notice.concerns(answers)
        and (not notice.settings or present & {name.upper() for name in notice.settings})
    ]


def settings_in(path: Path) -> set[str]:
    """Return the names of the environment variables that a `.env` file sets, in upper case.

    A file that does not exist or cannot be read sets none. The service reports an unreadable file itself.
    """
    try:
        text = path.read_text("utf-8", errors="replace")
    except OSError:
        return set()
    return {name.upper() for name in re.findall(r"^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=", text, re.MULTILINE)}


def task_list(notices: Iterable[Notice]) -> str:
    """Return Markdown for an update request: the steps by hand as tasks, and then the other changes.

    News and the introductions of versions are left out, because the changelog has them.
    """
    notices = list(notices)
    tasks = [_item(notice, "- [ ] ") for notice in notices if notice.by_hand]
    changes = [_item(notice, "- ") for notice in notices if not notice.by_hand and notice.section == CHANGED]
    parts = [(f"### {BY_HAND}", tasks), (f"### {CHANGED}", changes)]
    return "\n\n".join(f"{heading}\n\n" + "\n".join(items) for heading, items in parts if items) + "\n" * bool(notices)


def _item(notice: Notice, mark: str) -> str:
    text = f"Before: {notice.before}\nNow: {notice.text}" if notice.before else notice.text
    lines = text.splitlines()
    lines += [f"{name} is now {new}." if new else f"{name} was removed." for name, new in notice.settings.items()]
    if notice.restore:
        lines.append(f"To keep the former behavior: {notice.restore}")
    return mark + "\n".join(f"  {line}" if line else "" for line in lines).lstrip()
