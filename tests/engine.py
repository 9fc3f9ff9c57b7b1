"""Run images and compose files with Docker or Podman."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from conftest import skip_outside_ci
from processes import wait_until


class Finished(NamedTuple):
    status: int
    output: str


class Engine:
    """Command line of Docker or Podman. The tests use only commands that both have."""

    def __init__(self, program: str) -> None:
        self.program = program
        # Podman's default image format does not support HEALTHCHECK.
        self.build_options = ["--format", "docker", "--network", "host"] if program == "podman" else []

    @classmethod
    def find(cls) -> Engine | None:
        """Return Docker if its daemon responds, else Podman, else None."""
        for program in ("docker", "podman"):
            if (
                shutil.which(program)
                and subprocess.run([program, "info"], capture_output=True, check=False).returncode == 0
            ):
                return cls(program)
        return None

    @classmethod
    def require(cls) -> Engine:
        """Return the engine. Without one, fail in CI and skip the test elsewhere."""
        return cls.find() or skip_outside_ci("no container engine: install Docker or Podman (see .ci/run)")

    def try_run(self, *arguments: str | Path, **environment: str) -> Finished:
        finished = subprocess.run(
            [self.program, *arguments],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
        )
        # Without systemd, Podman warns at each start that it does not run health checks on its own.
        lines = [line for line in finished.stdout.splitlines() if "level=" not in line and "syslog" not in line]
        return Finished(finished.returncode, "\n".join(lines))

    def run(self, *arguments: str | Path, **environment: str) -> str:
        status, output = self.try_run(*arguments, **environment)
        assert status == 0, f"{self.program} {' '.join(map(str, arguments))}\n{output}"
        return output

    def inspect(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("inspect", name))[0]
        return found

    def base(self, image: str) -> dict[str, Any]:
        """Inspect a base image. It is pulled with Docker, because BuildKit does not keep base images."""
        if self.program == "docker":
            self.run("pull", "--quiet", image)
        return self.inspect(image)

    def build(self, context: Path, tag: str, *options: str) -> str:
        return self.run("build", *self.build_options, "--tag", tag, *options, context)

    def is_healthy(self, container: str) -> bool:
        """Return true if the health check of the image passes."""
        if self.program == "podman":
            return self.try_run("healthcheck", "run", container).status == 0
        return bool(self.inspect(container)["State"]["Health"]["Status"] == "healthy")

    def exec(self, container: str, *command: str) -> str:
        return self.run("exec", container, *command)

    @contextmanager
    def running(self, image: str, *options: str, command: tuple[str, ...] = ()) -> Iterator[str]:
        container = self.run("run", "--detach", *options, image, *command).splitlines()[-1]
        try:
            yield container
        finally:
            self.try_run("rm", "--force", "--volumes", container)


HARDENED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")


class Compose:
    """A compose file that runs under its own project name.

    With the Podman of some distributions, Podman Compose ignores the conditions of `depends_on`. This class
    starts one service after the other, and waits for these conditions.
    """

    def __init__(self, engine: Engine, directory: Path, file: str, name: str, **variables: str) -> None:
        self.engine = engine
        self.services: dict[str, Any] = yaml.safe_load((directory / file).read_text("utf-8"))["services"]
        self.services = {name: options for name, options in self.services.items() if "profiles" not in options}
        self._name = name
        self._directory = directory
        self._file = file
        self._variables = variables

    def run(self, *arguments: str) -> str:
        command: list[str | Path] = ["docker", "compose"]
        if self.engine.program == "podman":
            command = [Path(sys.executable).with_name("podman-compose")]
            command.append(f"--podman-build-args={' '.join(self.engine.build_options)}")
        finished = subprocess.run(
            [*command, "--project-name", self._name, "--file", self._file, *arguments],
            cwd=self._directory,
            env={**os.environ, **self._variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, f"compose {' '.join(arguments)}\n{finished.stdout}\n{self.logs()}"
        return finished.stdout

    def up(self, *only: str) -> None:
        """Start all services, or only some without their dependencies."""
        if self.engine.program == "docker":
            self.run("up", "--build", "--wait", *only)
            return
        if not only:
            self.run("build")
        started: list[str] = [service for service in self.services if only and service not in only]
        while pending := [service for service in self.services if service not in started]:
            ready = [name for name in pending if self._dependencies(name).keys() <= set(started)]
            for service in ready:
                for dependency, condition in self._dependencies(service).items():
                    self._wait(dependency, condition["condition"])
                self.run("up", "--detach", "--no-deps", service)
            started += ready
        staying = [
            name
            for name, options in self.services.items()
            if "alembic" not in options.get("entrypoint", ()) and (not only or name in only)
        ]
        for service in staying:
            self._wait(service, "service_healthy")
        for service in staying:
            for other in self._dependencies(service).keys() & set(staying):
                for container in self.containers(service):
                    wait_until(partial(self._resolves, container, other), 120, f"{container} cannot resolve {other}.")

    def run_once(self, service: str, *command: str) -> str:
        """Build the image of a service, and run a command in a new container, without dependencies."""
        self.run("--profile", "test", "build", service)
        return self.run("--profile", "test", "run", "--no-deps", "--rm", "-T", service, *command)

    def _resolves(self, container: str, service: str) -> bool:
        """Return true if a container can resolve a service. Podman's name server may not answer for up to a minute."""
        return all(self.engine.try_run("exec", container, "getent", "hosts", service).status == 0 for _ in range(4))

    def _dependencies(self, service: str) -> dict[str, Any]:
        dependencies: dict[str, Any] = self.services[service].get("depends_on", {})
        return dependencies

    def _wait(self, service: str, condition: str) -> None:
        for container in self.containers(service):
            if condition == "service_completed_successfully":
                status = self.engine.run("wait", container).splitlines()[-1]
                assert status == "0", f"{container} ended with status {status}.\n{self.logs()}"
            else:
                wait_until(partial(self.engine.is_healthy, container), 60, f"{service} is not healthy.")

    def containers(self, service: str) -> list[str]:
        replicas = self.services[service].get("deploy", {}).get("replicas", 1)
        separator = "-" if self.engine.program == "docker" else "_"
        return [separator.join((self._name, service, str(number))) for number in range(1, replicas + 1)]

    def logs(self) -> str:
        containers = [container for service in self.services for container in self.containers(service)]
        return "\n".join(f"== {name}\n{self.engine.try_run('logs', name).output[-3000:]}" for name in containers)

    def down(self, *options: str) -> None:
        self.run("down", *options)
