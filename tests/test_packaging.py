"""Files around the code match it: variables, commands, compose file, requirements."""

import re
from pathlib import Path

import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands

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
