"""Check that links, commands, files and tables in README.md, CONTRIBUTING.md and docs/ are true."""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from copier._vcs import get_repo

from conftest import ROOT, Render

sys.path.insert(0, str(ROOT / "scripts"))
sys.path.insert(0, str(ROOT / "benchmarks"))

import address
import failure_table
import first_hour
import marked
import newcomer

DOCUMENTS = ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
README_LINES = 120
LARGEST_PICTURE = 200_000
RENDERED_TARGETS = {"audit", "dev", "lint", "typecheck", "update", "update-check"}
OTHERS = {"docs/adopt.md", "docs/comparison.md", "docs/update-scoreboard.md"}
"""Documents that name files of other repositories."""


@pytest.fixture(params=DOCUMENTS)
def name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """Return a directory with the documents, and with the file that has the address."""
    (tmp_path / "docs").mkdir()
    for name in (*DOCUMENTS, "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= README_LINES


def test_readme_is_linked_to_every_page() -> None:
    """Each page of docs/ can be reached from README.md by links."""
    reached, pending = set(), ["README.md"]
    while pending:
        name = pending.pop()
        reached.add(name)
        for link in re.findall(r"\]\(([\w./-]+\.md)\)", (ROOT / name).read_text("utf-8")):
            target = (ROOT / name).parent.joinpath(link).resolve()
            if target.exists() and (found := str(target.relative_to(ROOT))) not in reached:
                pending.append(found)
    assert set(DOCUMENTS) - reached == set()


def test_linked_files_exist(name: str, text: str) -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if not link.startswith("http")]
    assert [link for link in links if not ((ROOT / name).parent / link).exists()] == []


def test_make_targets_in_documents_exist(name: str, text: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):(?!=)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets | RENDERED_TARGETS


def test_file_names_in_documents_exist(name: str, text: str) -> None:
    if name in OTHERS:
        return
    for found in re.findall(r"`((?:[\w.-]+/)*(?:test_)?[\w-]+\.(?:py|yml|jinja|txt|md))`", text):
        rendered_or_owners = {".copier-answers.yml", "answers.yml", "owner.yml"}
        exists = any((ROOT / folder / found).exists() for folder in (".", "tests", "hooks", "docs"))
        assert exists or found in rendered_or_owners or found.startswith(".config"), f"{found} does not exist."


def test_test_functions_in_documents_exist() -> None:
    modules = [*ROOT.glob("tests/**/*.py"), *ROOT.glob("template/tests/*.py*")]
    sources = "".join(path.read_text("utf-8") for path in modules)
    pages = [ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")]
    named = {name for page in pages for name in re.findall(r"`(test_\w+)`", page.read_text("utf-8"))}
    assert len(named) > 1
    assert {name for name in named if f"def {name}(" not in sources} == set()


def test_documents_name_the_address_of_the_template(name: str, text: str) -> None:
    named = re.findall(r"copier copy (?:--\S+ )*(\S+://\S+)|--from git\+(\S+)", text)
    assert {"".join(each) for each in named} <= {address.address()}


def test_address_is_a_git_repository_for_copier_and_stands_in_the_readme() -> None:
    assert get_repo(address.address()) == address.address()
    assert f"uvx copier copy {address.address()} " in (ROOT / "README.md").read_text("utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert (ROOT / "README.md").read_text("utf-8").startswith(f"# {project['name'].title()}\n")


def test_placeholder_is_explained_only_while_it_is_the_address() -> None:
    explained = address.NOTE in (ROOT / "README.md").read_text("utf-8")
    assert explained == address.address().startswith(address.PLACEHOLDER)


def test_make_address_changes_the_address_everywhere(copied: Path) -> None:
    former, new = address.address(), "https://github.com/team/standfast.git"
    pages = [path for path in copied.rglob("*.*") if former in path.read_text("utf-8")]
    assert {"README.md", "pyproject.toml", "standfast-commands.md"} <= {path.name for path in pages}
    address.change(new, copied)
    assert address.address(copied) == new
    for path in copied.rglob("*.*"):
        assert former not in path.read_text("utf-8") or new == former
    readme = (copied / "README.md").read_text("utf-8")
    assert f"uvx copier copy {new} my-service" in readme
    assert address.NOTE not in readme


@pytest.mark.parametrize("url", ["git@github.com:team/standfast.git", "https://github.com/team/standfast", "x.git"])
def test_make_address_refuses_addresses_that_not_every_tool_accepts(copied: Path, url: str) -> None:
    with pytest.raises(SystemExit) as refused:
        address.change(url, copied)
    assert refused.value.code == f"{url!r} is not an address such as https://github.com/owner/standfast.git."
    assert address.address(copied) == address.address()


def tree(text: str) -> set[str]:
    """Return the paths in the tree of README.md. A directory ends with a slash."""
    block = text.partition("```text\nmy-service/\n")[2].partition("```")[0]
    paths, parent = set(), ""
    for line in block.splitlines():
        inside, listed = line.startswith("│"), line.lstrip("│ ├└─").split("  ")[0].split(", ")
        paths |= {f"{parent if inside else ''}{path}" for path in listed}
        parent = parent if inside else listed[-1]
    return paths


def test_tree_in_the_readme_has_the_files_of_a_render(render: Render) -> None:
    project, package = render(), "src/my_service/"
    listed = tree((ROOT / "README.md").read_text("utf-8"))
    missing = [
        path for path in listed if not (project / path).exists() or (project / path).is_dir() != (path[-1] == "/")
    ]
    assert missing == []
    directories = [f"{path.name}/" for path in project.iterdir() if path.is_dir()]
    directories += [f"{package}{path.name}/" for path in (project / package).iterdir() if path.is_dir()]
    unlisted = {path for path in directories if path not in listed} - {"src/", ".vscode/"}
    assert {path for path in unlisted if "__pycache__" not in path} == set()


def test_failures_in_the_readme_are_rows_of_the_page() -> None:
    table = marked.content(failure_table.PAGE.read_text("utf-8"), failure_table.COMMAND)
    assert failure_table.HEAD in table
    shown = marked.content(failure_table.README.read_text("utf-8"), failure_table.COMMAND)
    assert shown == failure_table.short(table)
    assert len(shown.splitlines()) == 2 + len(failure_table.IN_README)


def test_first_hour_has_the_commands_of_the_readme() -> None:
    commands = newcomer.readme_commands()
    assert commands[0].startswith("uvx copier copy")
    assert {"make dev", "make test", "make update-check"} <= set(commands)
    table = marked.content(first_hour.PAGE.read_text("utf-8"), "first-hour")
    assert re.findall(r"^\| `(.*?)` \|", table, re.MULTILINE) == commands, "Run `make first-hour`."


def test_first_hour_reports_the_command_that_fails(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="exit status 3") as failed:
        first_hour.measure(tmp_path, ["mkdir a && cd a", "cd b && true; echo broken; exit 3", "true"])
    assert "broken" in str(failed.value)


def test_first_hour_measures_commands_as_a_new_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIRTUAL_ENV", "/of/this/user")
    home = tmp_path / "home"
    commands = [
        f'test "$HOME" = {home} && mkdir a',
        'cd a && test -z "$VIRTUAL_ENV"',
        f"git ls-remote {address.address()}",
    ]
    steps = first_hour.measure(tmp_path, commands)
    assert [step.command for step in steps] == commands
    assert all(step.seconds and step.processor is not None for step in steps)
    assert "| done |" in first_hour.table(steps)


def test_parts_that_commands_write_need_both_comments() -> None:
    begin, end = marked.markers("x")
    assert marked.replaced(f"a\n{begin}\nold\n{end}\nb\n", "x", "new\n") == f"a\n{begin}\nnew\n{end}\nb\n"
    with pytest.raises(SystemExit, match="Restore them"):
        marked.replaced(f"a\n{begin}\nold\n", "x", "new\n")


def test_pictures_are_small_and_complete() -> None:
    picture = (ROOT / "docs" / "documentation.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert picture.endswith(b"IEND\xaeB`\x82")
    svg = (ROOT / "docs" / "terminal.svg").read_text("utf-8")
    ET.fromstring(svg)
    # A browser must not load fonts or images from other servers.
    assert set(re.findall(r"(?:href|url\()[^;\s]*https?:", svg)) == set()
    assert max(len(picture), len(svg)) < LARGEST_PICTURE
    passed = re.search(r"(\d+)&#160;passed", svg)
    assert passed
    assert int(passed[1]) > 100
    assert "copier&#160;copy" in svg, "The picture does not show the commands of README.md. Run `make pictures`."
