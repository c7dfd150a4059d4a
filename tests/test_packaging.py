"""Files around the code match it: variables, commands, compose file, requirements."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands

from forecasting.pages.views import DOCUMENTS

ROOT = Path(settings.BASE_DIR)
INTERNAL = {"ENV_FILE", "YAHOO_URL"}  # the path of the .env file, and a fake Yahoo for tests
VARIABLES = sorted(
    set(re.findall(r'environment\.(?!load)\w+\(\s*"([A-Z_]+)"', (ROOT / "stockpred/settings.py").read_text())) - INTERNAL
)


def test_settings_read_some_variables() -> None:
    assert {"SEED", "DAILY_TASK_HOUR", "ENABLE_LOGS", "DATABASE_URL", "SECRET_KEY"} <= set(VARIABLES)


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize("document", ["docs/configuration.md", ".env.example"])
def test_every_variable_is_documented(variable: str, document: str) -> None:
    assert re.search(rf"\b{variable}\b", (ROOT / document).read_text())


def test_the_release_is_that_of_the_project_file() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["version"] == settings.RELEASE


def test_the_example_sets_nothing_that_does_not_exist() -> None:
    named = re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), flags=re.MULTILINE)
    assert set(named) <= set(VARIABLES)


def test_compose_runs_commands_that_exist() -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    assert set(compose["services"]) == {"postgres", "migrate", "web", "worker"}
    ours = {name: service for name, service in compose["services"].items() if "build" in service}
    for service in ours.values():
        python, manage, command = service["command"]
        assert (python, manage) == ("python", "manage.py")
        assert command in get_commands()
        assert set(service["environment"]) <= set(VARIABLES)
    declared = set(compose["volumes"])
    mounted = {volume.split(":")[0] for service in compose["services"].values() for volume in service.get("volumes", [])}
    assert mounted == declared


def test_every_requirement_is_pinned() -> None:
    for name in ("requirements.txt", "requirements-dev.txt", "constraints.txt"):
        lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith(("#", "-"))]
        assert lines
        assert [line for line in lines if "==" not in line] == []


def pins(name: str) -> set[str]:
    """The packages of a file, each with its version and its condition."""
    return {
        line.removesuffix(" \\")
        for line in (ROOT / name).read_text().splitlines()
        if "==" in line and not line.startswith(("#", " "))
    }


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_every_package_of_a_lock_has_hashes(name: str) -> None:
    packages = re.split(r"\n(?=\S)", re.sub("^#.*\n", "", (ROOT / name).read_text(), flags=re.MULTILINE).strip())
    assert len(packages) > 50
    assert [package for package in packages if not re.search(r"--hash=sha256:[0-9a-f]{64}\b", package)] == []


def test_the_locks_are_in_step_with_the_requirements() -> None:
    assert pins("requirements-dev.lock") == pins("constraints.txt"), "run `make lock`"
    # Without conditions: what the service needs on some systems, development may need on all.
    needed, known = ({pin.split(" ;")[0] for pin in pins(name)} for name in ("requirements.lock", "constraints.txt"))
    assert needed <= known, "run `make lock`"
    for name in ("requirements.txt", "requirements-dev.txt"):
        direct = {re.sub(r"\[\w+\]|[ ;].*", "", pin).lower() for pin in pins(name)}
        assert direct <= {re.sub(r"[ ;].*", "", pin) for pin in pins(name.replace(".txt", ".lock"))}, "run `make lock`"


def test_every_container_is_limited_and_read_only() -> None:
    for service in yaml.safe_load((ROOT / "compose.yaml").read_text())["services"].values():
        assert service["read_only"]
        assert service["pids_limit"]
        assert service["mem_limit"]
        assert service["security_opt"] == ["no-new-privileges:true"]


DOCKER = """#!/bin/sh
echo "$4" >> "$(dirname "$0")/asked"
echo "sha256:$(printf '%064d' "$(wc -l < "$(dirname "$0")/asked")")"
"""


def test_images_are_pinned_by_the_digests_of_the_registry(tmp_path: Path) -> None:
    for file in ("Dockerfile", "compose.yaml", "deploy/internet.yaml", "bin/pin-images"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    with_docker = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    for _ in range(2):  # the second run replaces the digests of the first
        subprocess.run([tmp_path / "bin/pin-images"], env=with_docker, check=True, stdout=subprocess.DEVNULL)

    assert (tmp_path / "asked").read_text().split() == ["python:3.12-slim", "postgres:18", "caddy:2"] * 2
    assert f"FROM python:3.12-slim@sha256:{4:064d}\n" in (tmp_path / "Dockerfile").read_text()
    compose = yaml.safe_load((tmp_path / "compose.yaml").read_text())
    assert compose["services"]["postgres"]["image"] == f"postgres:18@sha256:{5:064d}"
    assert f"image: caddy:2@sha256:{6:064d}\n" in (tmp_path / "deploy/internet.yaml").read_text()


def test_the_image_has_the_documents_that_the_service_shows() -> None:
    copied, kept = (ROOT / "Dockerfile").read_text(), (ROOT / ".dockerignore").read_text().splitlines()
    for document in map(Path, DOCUMENTS.values()):
        assert (f"{document.parent}/*.md" if document.parent.name else f" {document} ") in copied
        assert f"!{document.parts[0]}" in kept
