"""Write CHANGELOG.md and notices.jinja from notices.yml: `make changelog`.

make changelog                  write both files
make changelog VERSION=1.2.0    before a release: give the unreleased notices and the package this version, and write.
                                A second run can choose another version.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import click
from jinja2 import meta
from jinja2.sandbox import SandboxedEnvironment
from packaging.version import Version

from standfast.notices import CHANGED, SECTIONS, UNRELEASED, Notice, NoticesError, read_dates, read_notices

ROOT = Path(__file__).resolve().parents[1]
CHANGELOG = """# Changelog

Changes for projects that were rendered from this template. A major version requires a step by hand, or causes conflicts
on `copier update` in files that you did not change. A minor version adds features. A patch version fixes bugs.

`make changelog` writes this file from `notices.yml`.
"""
BLOCKS = {"Introduction", "Moved in the package", "Renamed", "Changed texts"}
"""Sections whose texts are not items of a list."""

MESSAGE = """{#- `make changelog` writes this file from notices.yml. copier.yml prints the result after an update.

    The arguments are the answers before and after the update. Without former answers, there are no steps. -#}
{% macro steps_by_hand(former, answers) -%}
{%- set numbers = former.get('_commit', '') | regex_search('^v?[0-9]+[.][0-9]+[.][0-9]+') | default('v0', true) -%}
{%- set former_version = numbers.removeprefix('v').split('.') | map('int') | list -%}
ANSWERS
{%- set steps -%}
{%- if former -%}
STEPS
{%- endif -%}
{%- endset -%}
{%- if steps %}

This update needs steps by hand. CHANGELOG.md of the template has more about them.
{{ steps }}
{%- endif -%}
{%- endmacro %}
"""


@click.command(help=__doc__)
@click.argument("version", required=False)
def main(*, version: str | None) -> None:
    try:
        if version:
            prepare(version)
        for name, text in files(ROOT / "notices.yml").items():
            (ROOT / name).write_text(text, "utf-8")
    except NoticesError as error:
        raise click.ClickException(str(error)) from None


def files(path: Path) -> dict[str, str]:
    """Return the texts of the files that `make changelog` writes from a `notices.yml`, by their paths."""
    notices = read_notices(path)
    return {"CHANGELOG.md": changelog(notices, read_dates(path)), "notices.jinja": message(notices)}


def releases() -> dict[str, str]:
    """Return the commit of each released version, the oldest first."""
    lines = (ROOT / "releases.txt").read_text("utf-8").splitlines()
    return dict(line.split() for line in lines if not line.startswith("#"))


def check_version(version: str) -> None:
    """Check that a version is one of the three that can follow the last release.

    A gap by mistake, such as 1.20.0 after 1.1.0, cannot be reverted. Projects with it would never get 1.2.0.

    Raises:
        ClickException: the version does not follow the last release. The message has the versions that do.
    """
    last = max(releases(), key=Version)
    major, minor, patch = map(int, last.split("."))
    following = [f"{major}.{minor}.{patch + 1}", f"{major}.{minor + 1}.0", f"{major + 1}.0.0"]
    if version not in following:
        raise click.ClickException(f"{version} cannot follow {last}. Choose one of {', '.join(following)}.")


def prepare(version: str) -> None:
    """Give this version to the package `standfast`, and to all notices that are not released.

    Raises:
        ClickException: the version does not follow the last release, or there are no such notices.
        NoticesError: `notices.yml` has an error.
    """
    check_version(version)
    path = ROOT / "notices.yml"
    pending = {notice.version for notice in read_notices(path)} - releases().keys()
    if not pending:
        raise click.ClickException(
            f"{path.name} has no notice with the version {UNRELEASED}. Add a notice that says what {version} changes."
        )
    names = "|".join(map(re.escape, pending))  # A former run may have given the notices another version.
    text = re.sub(rf"^(  - version: )(?:{names})$", rf"\g<1>{version}", path.read_text("utf-8"), flags=re.MULTILINE)
    text = re.sub(rf"^  (?:{names}): .*\n", "", text, flags=re.MULTILINE)
    path.write_text(text.replace("\ndates:\n", f"\ndates:\n  {version}: {datetime.now(UTC):%Y-%m-%d}\n", 1), "utf-8")
    package = ROOT / "standfast" / "__init__.py"
    package.write_text(re.sub('__version__ = ".*"', f'__version__ = "{version}"', package.read_text("utf-8")), "utf-8")


def changelog(notices: Iterable[Notice], dates: Mapping[str, str]) -> str:
    """Return the text of CHANGELOG.md, the newest version first."""
    by_version: dict[str, list[Notice]] = {}
    for notice in notices:
        by_version.setdefault(notice.version, []).append(notice)

    def order(version: str) -> tuple[bool, Version]:
        return (True, Version("0")) if version == UNRELEASED else (False, Version(version))

    text = CHANGELOG
    for version in sorted(by_version, key=order, reverse=True):
        text += f"\n## {'Unreleased' if version == UNRELEASED else f'{version} ({dates[version]})'}\n"
        for name in SECTIONS:
            found = [notice for notice in by_version[version] if notice.section == name]
            if found:
                text += ("" if name == "Introduction" else f"\n### {name}\n") + f"\n{section(name, found)}\n"
    return text


def section(name: str, notices: Iterable[Notice]) -> str:
    """Return the Markdown of a section."""
    if name == CHANGED:
        rows = [
            f"| {condition(notice)}{notice.before} | {' '.join(notice.text.split())} | {notice.restore} |"
            for notice in notices
        ]
        return "\n".join(["| before | now | to keep the old behavior |", "|---|---|---|", *rows]).replace("|  |", "| |")
    if name in BLOCKS:
        return "\n\n".join(condition(notice) + notice.text for notice in notices)
    return "\n".join(item(notice) for notice in notices)


def item(notice: Notice) -> str:
    """Return an item of a list. The first paragraph is wrapped, because the condition makes it longer."""
    paragraph, gap, rest = notice.text.partition("\n\n")
    if notice.when:
        paragraph = textwrap.fill(
            condition(notice) + paragraph, width=118, break_long_words=False, break_on_hyphens=False
        )
    return "- " + re.sub(r"^(?=.)", "  ", paragraph + gap + rest, flags=re.MULTILINE).strip()


def condition(notice: Notice) -> str:
    return f"If `{notice.when}`: " if notice.when else ""


def message(notices: Iterable[Notice]) -> str:
    """Return a Jinja macro that lists the steps by hand of an update: Copier runs no Python of the template for it."""
    steps = [notice for notice in notices if notice.by_hand]
    names = sorted({name for notice in steps for name in answers_in(notice.when)})
    lines = []
    for notice in steps:
        crossed = "former._commit != answers._commit"
        if notice.version != UNRELEASED:
            crossed = f"former_version < {list(Version(notice.version).release)}"
        concerns = f"{crossed} and ({notice.when})" if notice.when else crossed
        lines.append(f"{{%- if {concerns} %}}\n{{% raw %}}  - {notice.summary}{{% endraw %}}\n{{%- endif %}}")
    answers = "\n".join(f"{{%- set {name} = answers.get('{name}') -%}}" for name in names)
    return MESSAGE.replace("ANSWERS", answers).replace("STEPS", "\n".join(lines))


def answers_in(expression: str) -> set[str]:
    """Return the names in a condition."""
    environment = SandboxedEnvironment()
    return meta.find_undeclared_variables(environment.parse(f"{{{{ {expression} }}}}")) if expression else set()


if __name__ == "__main__":
    main()
