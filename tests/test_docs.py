"""README, docs and what stands beside them: commands, options, variables, files and links that they name exist."""

import json
import re
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import get_commands, load_command_class

from tests.api.openapi import JSON, operations, violations
from tests.test_packaging import VARIABLES

ROOT = Path(settings.BASE_DIR)
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
OF_OTHERS = {"POSTGRES_PASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"}

MESSAGES = {
    "docs/api.md": ["Starting training, try again later.", "This is an ISIN;", "Re-training initiated for model: "],
    "docs/quality-gate.md": ["a split or a wrong factor"],
    "docs/operations.md": [
        "it is restarted", "the database is unreachable", "The model's files could not be written", "he queue is full"
    ],
}  # fmt: skip

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def test_the_readme_is_one_screen_that_begins_with_a_picture_and_an_answer() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 120
    first = "\n".join(lines[:25])
    assert "docs/service.png" in first
    assert "predicted_price" in first


def test_every_page_is_linked_from_the_readme() -> None:
    linked = {target for target in links(ROOT / "README.md") if target.startswith("docs/")}
    assert {f"docs/{page.name}" for page in PAGES if page.parent.name == "docs"} <= linked


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(page):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@each_page
def test_make_targets_exist(page: Path) -> None:
    named = re.findall(r"(?:^|`)(?:\w+=\S+ )*make ([a-z]+)", page.read_text(), flags=re.MULTILINE)
    assert set(named) <= TARGETS


@each_page
def test_commands_exist_and_take_the_options_that_are_shown(page: Path) -> None:
    for name, rest in re.findall(r"manage\.py ([a-z_]+)([^`\n]*)", page.read_text()):
        assert name in {*get_commands(), "help"}, name
        for option in re.findall(r"(?<!\S)--[a-z-]+", rest):
            assert option in options_of(name), f"{name} {option}"


@each_page
def test_commands_of_code_blocks_use_the_interpreter_that_has_the_packages(page: Path) -> None:
    for block in re.findall(r"^```\w*\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL):
        assert not re.findall(r"^(?:python3? |)manage\.py \w", block, flags=re.MULTILINE)


@pytest.mark.parametrize("page", ["README.md", "docs/api.md"])
def test_answers_that_are_shown_have_the_documented_shape(page: str) -> None:
    call = r"^\$ curl -s '?localhost:8000([^ '?]+)(.*)\n((?:[\[{ ].*\n)+)"
    shown = re.findall(call, (ROOT / page).read_text(), flags=re.MULTILINE)
    assert shown
    for route, options, answer in shown:
        responses = operations()["post" if " -d " in options else "get", route]["responses"].values()
        schemas = [response["content"][JSON]["schema"] for response in responses]
        assert any(violations(json.loads(answer), schema) == [] for schema in schemas), answer


@pytest.mark.parametrize("page", MESSAGES)
def test_messages_that_are_quoted_are_those_of_the_service(page: str) -> None:
    text = (ROOT / page).read_text()
    source = "".join(path.read_text() for path in (ROOT / "forecasting").rglob("*.py"))
    assert [message for message in MESSAGES[page] if message not in text or message not in source] == []


def test_the_configuration_page_names_the_variables_that_are_read_and_no_others() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs/configuration.md").read_text(), flags=re.MULTILINE)
    assert sorted(rows) == VARIABLES


@each_page
def test_variables_exist(page: Path) -> None:
    known = {*VARIABLES, *OF_OTHERS, *notebook_variables()}
    named = set(re.findall(r"`([A-Z]+_[A-Z_]+)(?:=\S*)?`", page.read_text()))
    assert named <= known


def test_the_tree_is_that_of_the_repository() -> None:
    listed = paths_of_the_tree()
    assert [path for path in listed if not path.exists()] == []
    opened = {path.parent for path in listed} - {ROOT}
    modules = {path for folder in opened for path in folder.glob("*.py") if path.name != "__init__.py"}
    assert modules - set(listed) == set()


def test_the_layers_are_those_that_are_checked() -> None:
    page = (ROOT / "docs/architecture.md").read_text().split("## Who imports whom")[1]
    told = [re.findall(r"`([\w/.]+)`", line) for line in page.splitlines() if line.startswith("| `")]
    checked = re.search(r"layers = \[\n(.*?)\]", (ROOT / "pyproject.toml").read_text(), flags=re.DOTALL)
    assert checked is not None
    enforced = [line.split(" | ") for line in re.findall(r'"(.*)"', checked.group(1))]
    assert [sorted(module_of(name) for name in names) for names in told] == [sorted(names) for names in enforced]


def links(page: Path) -> list[str]:
    """The targets of a page's links and pictures that are files of the repository or headings of a page."""
    text = page.read_text()
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def anchors(page: Path) -> set[str]:
    """The names by which its headings are linked."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def paths_of_the_tree() -> list[Path]:
    """The files and folders in the tree of docs/architecture.md: indented by two spaces, and apart from the text by two or more."""
    tree = (ROOT / "docs/architecture.md").read_text().split("## The tree\n\n```\n")[1].split("\n```")[0]
    paths: list[Path] = []
    folders: list[str] = []
    for line in tree.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        names = re.split(r"\s{2,}", line.strip())[0].split()
        paths += [ROOT.joinpath(*folders[:depth], name) for name in names]
        folders = [*folders[:depth], names[0]]
    return paths


def options_of(name: str) -> set[str]:
    """The long options of a command of manage.py."""
    command = load_command_class(get_commands()[name], name)
    return {option for action in command.create_parser("manage.py", name)._actions for option in action.option_strings}


def notebook_variables() -> set[str]:
    """The variables that the notebooks read."""
    text = "".join(path.read_text() for path in (ROOT / "notebooks").glob("*.ipynb"))
    return set(re.findall(r"NOTEBOOK_[A-Z]+", text))


def module_of(name: str) -> str:
    """`api` is forecasting.api, `stockpred/urls.py` stockpred.urls."""
    module = name.removesuffix(".py").replace("/", ".")
    return module if "." in module else f"forecasting.{module}"
