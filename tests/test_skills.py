"""Check the format of the skills for coding agents, and run their commands in projects."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import click
import pytest
import yaml

from conftest import ROOT, EnvironmentOf, Render, commit_all, git_init, replace, run
from documents import Instead, follow, inline_commands, install, steps
from processes import free_port
from standfast.cli import main

sys.path.insert(0, str(ROOT / "scripts"))

from address import address, change

SKILLS = {path.parent.name: path.read_text("utf-8") for path in sorted(ROOT.glob("skills/*/SKILL.md"))}
BIN = Path(sys.executable).parent
MAX_LINES = 120
"""Largest length of a skill. Agents read all of it."""

FIELDS = {"name", "description", "license", "compatibility", "metadata", "allowed-tools"}
"""The fields of https://agentskills.io/specification."""

TESTS = {
    "start-a-service": "test_skill_starts_a_service",
    "add-a-resource": "test_skill_adds_a_resource",
    "update-a-service": "test_skill_updates_a_service_and_keeps_the_code_of_its_owner",
    "adopt-a-service": "test_adopted_service_keeps_its_rows_and_routes_and_gets_updates",
}
"""The test that runs the commands of each skill."""

RUN_ELSEWHERE = {
    "git init": "test_skill_starts_a_service",
    "git status --short": "test_skill_starts_a_service",
    "make lock": "test_new_project_is_up_to_date_and_can_be_upgraded",
    "make lock args=--no-upgrade": "test_new_project_is_up_to_date_and_can_be_upgraded",
    ".venv/bin/alembic downgrade -1": "test_skill_adds_a_resource",
    "git add --force": "test_adopted_service_keeps_its_rows_and_routes_and_gets_updates",
}
"""Commands in sentences that are in no fence of the same skill, with the test that runs them."""


# ----------------------------------------------------------------------------------------------- format


def front_matter(text: str) -> dict[str, str]:
    matter = re.match(r"---\n(.*?)^---\n", text, re.MULTILINE | re.DOTALL)
    assert matter, "A skill must start with YAML front matter."
    found: dict[str, str] = yaml.safe_load(matter[1])
    return found


@pytest.mark.parametrize("name", SKILLS)
def test_skill_has_the_open_format(name: str) -> None:
    matter = front_matter(SKILLS[name])
    assert {"name", "description"} <= matter.keys() <= FIELDS
    assert matter["name"] == name
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
    assert len(name) <= 64
    assert len(matter["description"]) <= 1024
    assert "Use it when" in matter["description"], "Agents choose a skill by its description."
    assert len(matter.get("compatibility", "")) <= 500
    assert len(SKILLS[name].splitlines()) <= MAX_LINES


def test_index_lists_every_skill() -> None:
    index = (ROOT / "skills" / "README.md").read_text("utf-8")
    listed = re.findall(r"^\| \[([\w-]+)\]\(\1/SKILL\.md\) \|", index, re.MULTILINE)
    assert listed == [name for name in TESTS if name in SKILLS]
    assert {*listed} == {*SKILLS}, "Add the skill to skills/README.md and to TESTS."


@pytest.mark.parametrize("name", SKILLS)
def test_links_stay_in_the_directory_of_the_skill(name: str) -> None:
    """People copy the directory of a skill, without the rest of the repository."""
    directory = ROOT / "skills" / name
    for link in re.findall(r"\]\((?!https?://)([^)#]+)", SKILLS[name]):
        assert (directory / link).is_file(), f"{name} links to {link}, which does not exist."
        assert (directory / link).resolve().is_relative_to(directory), f"{name} links to {link}, outside its directory."


def commands_of(text: str) -> str:
    fenced = [step.text for step in steps(text) if step.kind == "console"]
    return "\n".join([*fenced, *inline_commands(text)])


@pytest.mark.parametrize("name", SKILLS)
def test_commands_exist(name: str, render: Render) -> None:
    commands = commands_of(SKILLS[name])
    rendered = set(re.findall(r"^([a-z-]+):(?!=)", (render() / "Makefile").read_text("utf-8"), re.MULTILINE))
    own = set(re.findall(r"^([a-z-]+):(?!=)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for targets in re.findall(r"\bmake((?: +[a-z-]+(?![\w=]))+)", commands):
        assert {*targets.split()} <= rendered or {*targets.split()} <= own, f"There is no make target{targets}."
    for subcommand, options in re.findall(r"\bstandfast\.git standfast ([\w-]+)([^\n&|>]*)", commands):
        command = main.commands.get(subcommand)
        assert command, f"standfast has no command {subcommand}."
        known = {option for each in command.params if isinstance(each, click.Option) for option in each.opts}
        assert {*re.findall(r"(?<!\S)--?[a-z-]+", options)} <= known


@pytest.mark.parametrize("name", SKILLS)
def test_every_command_of_a_skill_is_run_by_a_test(name: str) -> None:
    fenced = "\n".join(step.text for step in steps(SKILLS[name]))
    left_out = [each for each in inline_commands(SKILLS[name]) if each not in fenced and each not in RUN_ELSEWHERE]
    assert left_out == [], f"{name} has commands that no test runs."
    tests = "".join(path.read_text("utf-8") for path in (ROOT / "tests").glob("test_*.py"))
    for test in (TESTS[name], *RUN_ELSEWHERE.values()):
        assert f"def {test}(" in tests


def test_address_of_the_template_is_changed_in_skills(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "skills", tmp_path / "skills")
    for name in ("README.md", "CONTRIBUTING.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    new = "https://example.org/new.git"
    change(new, tmp_path)
    texts = {path.parent.name: path.read_text("utf-8") for path in tmp_path.glob("skills/**/*.md")}
    named = {name: set(re.findall(r"https://\S+?\.git\b", text)) for name, text in texts.items()}
    assert {name for name, found in named.items() if found} >= {"skills", "start-a-service", "update-a-service"}
    assert set().union(*named.values()) == {new}


def test_skill_names_all_answers_and_their_values() -> None:
    questions = {
        name: question
        for name, question in yaml.safe_load((ROOT / "copier.yml").read_text("utf-8")).items()
        if isinstance(question, dict) and not name.startswith("_") and question.get("when") is not False
    }
    rows = re.findall(r"^\| (`[^|]*) \| ([^|]*) \|", SKILLS["start-a-service"], re.MULTILINE)
    named = {name: re.findall(r"`([^`]+)`", values) for names, values in rows for name in re.findall(r"`(\w+)`", names)}
    assert named.keys() == questions.keys() - {"rendered_package_name"}
    for name, values in named.items():
        choices = questions[name].get("choices") or ([True, False] if questions[name]["type"] == "bool" else [])
        choices = choices.values() if isinstance(choices, dict) else choices
        assert values == [str(choice).lower() if isinstance(choice, bool) else choice for choice in choices]


def test_paths_that_skills_name_exist(render: Render) -> None:
    project = render()
    names = set(
        re.findall(r"`((?:docs|tests/support)/[\w/-]+\.\w+|AGENTS\.md|\.env\.example)`", "".join(SKILLS.values()))
    )
    assert "docs/add-a-resource.md" in names
    assert [name for name in names if not (project / name).exists()] == []


# ----------------------------------------------------------------------------------------------- commands


@pytest.fixture
def variables(template: Path, tmp_path: Path) -> dict[str, str]:
    """Return variables with which git takes the template from a clone instead of its public address."""
    return {
        "COPIER_CACHE_DIR": str(tmp_path / "cache"),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{template}.insteadOf",
        "GIT_CONFIG_VALUE_0": address(),
        "PORT": str(free_port()),
    }


def instead(tmp_path: Path, variables: dict[str, str]) -> tuple[Instead, ...]:
    standfast = f"env PYTHONPATH={ROOT} {sys.executable} -m standfast"
    return (
        Instead(r"\buvx copier\b", str(BIN / "copier"), "the same program, already installed"),
        Instead(r"\buvx --refresh --from git\+\S+ standfast\b", standfast, "the same program, from the working tree"),
        Instead(r"/tmp/update\b", str(tmp_path / "update"), "other tests may run at the same time"),
        Instead(r"^make dev$", "serve make dev", "the command runs until Ctrl-C"),
        Instead(r"127\.0\.0\.1:8000\b", f"127.0.0.1:{variables['PORT']}", "the port may be in use"),
    )


def test_commands_of_the_index_install_every_skill(tmp_path: Path, variables: dict[str, str]) -> None:
    work = tmp_path / "work"
    work.mkdir()
    clone = Instead("/tmp/standfast", str(tmp_path / "clone"), "other tests may run at the same time")
    follow((ROOT / "skills" / "README.md").read_text("utf-8"), work, (clone,), HOME=str(tmp_path), **variables)
    assert {path.parent.name for path in tmp_path.glob(".agents/skills/*/SKILL.md")} == {*SKILLS}


@pytest.mark.slow
def test_skill_starts_a_service(
    tmp_path: Path, variables: dict[str, str], environment: EnvironmentOf, render: Render
) -> None:
    rendering, heading, rest = SKILLS["start-a-service"].partition("## Check\n")
    assert heading
    work = tmp_path / "work"
    work.mkdir()
    follow(rendering, work, instead(tmp_path, variables), **variables)
    service = work / "order-service"
    answers = yaml.safe_load((service / ".copier-answers.yml").read_text("utf-8"))
    given = yaml.safe_load(next(step.text for step in steps(rendering) if step.path == "answers.yml"))
    assert answers.items() >= {**given, "_src_path": address(), "_commit": "v999.0.0"}.items()
    assert run("git", "log", "--format=%s", cwd=service).stdout == "Start from the template Standfast\n"
    install(service, environment(render(database_backend="sqlite")))
    follow(rest, service, instead(tmp_path, variables), **variables)
    assert run("git", "status", "--porcelain", cwd=service).stdout == ""


@pytest.mark.slow
def test_skill_adds_a_resource(
    tmp_path: Path, project: Render, variables: dict[str, str], environment: EnvironmentOf
) -> None:
    directory = project(database_backend="sqlite")
    install(directory, environment(directory))
    guide = (directory / "docs/add-a-resource.md").read_text("utf-8")
    files = [f"In `{step.path}`:\n\n```{step.kind}\n{step.text}```\n" for step in steps(guide) if step.path]
    skill = SKILLS["add-a-resource"]
    for heading, fences in (("## Write the model\n", files[:1]), ("## Write schemas, routes and tests\n", files[1:])):
        assert skill.count(heading) == 1
        skill = skill.replace(heading, heading + "".join(fences))
    undo = "```console\n.venv/bin/alembic downgrade -1\nmake migrate\n```\n"
    skill = skill.replace("## Write schemas", f"{undo}## Write schemas")
    whole = Instead(r"^make test$", ":", "test_walkthrough_commands_work and test_rendered_suite_passes run the suite")
    follow(skill, directory, (*instead(tmp_path, variables), whole), **variables)
    changed = run("git", "show", "--format=%s", "--name-status", "HEAD", cwd=directory).stdout.split("\n")
    assert changed[0] == "Add orders"
    assert len([line for line in changed if line.startswith("A\t")]) == 5
    assert not [line for line in changed if re.match("[MDR]", line)]


RULE = """        if data.name.lower().startswith("test"):
            raise ConflictError("Names that start with test are reserved.")
"""
DEPLOY = "deploy: test ## Deploy to the staging cluster\n\t@kubectl apply --kustomize deploy/staging\n"
RULE_TEST = '''"""Rules of the owner."""

from httpx2 import AsyncClient


async def test_reserved_name_returns_409(client: AsyncClient) -> None:
    assert (await client.post("/api/v1/items", json={"name": "Test 1"})).status_code == 409
'''


@pytest.fixture
def owned(tmp_path: Path, variables: dict[str, str]) -> Path:
    """Return a project of release 0.2.0 whose owner added a target and a rule. The template changed the same lines."""
    directory = tmp_path / "project"
    render = ("copy", "--quiet", "--defaults", "--vcs-ref", "v0.2.0", "--data", "database_backend=sqlite")
    run(BIN / "copier", *render, address(), directory, cwd=tmp_path, **variables)
    git_init(directory)
    replace(directory, "Makefile", "secrets clean\n", "secrets deploy clean\n")
    replace(directory, "Makefile", "\nclean: ", f"\n{DEPLOY}\nclean: ")
    service = "src/my_service/services/item.py"
    replace(directory, service, "        values = data.model_dump()\n", f"{RULE}        values = data.model_dump()\n")
    (directory / "tests/test_reserved_names.py").write_text(RULE_TEST, "utf-8")
    commit_all(directory, "Add a rule and a target")
    return directory


@pytest.mark.slow
def test_skill_updates_a_service_and_keeps_the_code_of_its_owner(
    tmp_path: Path, owned: Path, variables: dict[str, str], environment: EnvironmentOf, render: Render
) -> None:
    newest = render(database_backend="sqlite")
    install(owned, environment(newest))
    locks = " ".join(str(newest / name) for name in ("requirements.txt", "requirements-dev.txt"))
    replacements = (
        *instead(tmp_path, variables),
        Instead(r"\bstandfast update$", "standfast update --trust", "the skill adds it after the owner agreed"),
        Instead(
            r"^make lock args=--no-upgrade$",
            f"cp {locks} . && touch .venv/.installed",
            "test_update_keeps_the_changes_of_the_owner locks the packages after the same update",
        ),
    )
    skill, heading = SKILLS["update-a-service"], "## Do the steps by hand\n"
    assert skill.count(heading) == 1
    examples = (ROOT / "skills/update-a-service/references/conflicts.md").read_text("utf-8")
    follow(skill.replace(heading, examples + heading), owned, replacements, **variables)
    assert (tmp_path / "update/owner.diff").read_text("utf-8").count("\n+++ ") == 3
    owner, updated = (
        (tmp_path / f"update/{name}.txt").read_text("utf-8").splitlines() for name in ("owner", "updated")
    )
    assert [line.partition(":")[0] for line in owner if line not in updated] == [".PHONY"]
    assert DEPLOY in (owned / "Makefile").read_text("utf-8")
    assert "update secrets deploy clean\n" in (owned / "Makefile").read_text("utf-8")
    assert RULE in (owned / "src/my_service/services/item.py").read_text("utf-8")
    assert "v999.0.0" in (owned / ".copier-answers.yml").read_text("utf-8")
    assert run("git", "status", "--porcelain", cwd=owned).stdout == ""
