"""What happens before any package is there: which Python gets the virtual environment, and what manage.py says without one."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from forecasting.management.commands.run import Command

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ("cp", "dirname", "ls", "mkdir", "rm")  # what the scripts and the stand-ins call
PYTHON = """#!/bin/sh
case "$1 $2" in
    "-c "*) echo {version} ;;
    "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    "-m pip") [ "$3" = --version ] || cp index/uv .state/uv/bin/uv ;;
esac
"""
BROKEN = "#!/bin/sh\nexit 127\n"  # a shim of pyenv for a version that is not active, or a Python without ensurepip
UV = """#!/bin/sh
mkdir -p .venv/bin && echo "$@" > .venv/made_by_uv
"""


class Machine:
    """A checkout on a machine that has nothing but what a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path, self.pyenv = folder, folder / "path", folder / "pyenv"
        shutil.copytree(ROOT / "bin", folder / "bin")
        self.path.mkdir()
        for tool in TOOLS:
            (self.path / tool).symlink_to(shutil.which(tool) or tool)

    def has(self, file: str, script: str) -> None:
        """Puts a program there."""
        program = self.folder / file
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(script)
        program.chmod(0o755)

    def has_python(self, file: str, version: str) -> None:
        """Puts a stand-in for an interpreter there."""
        self.has(file, PYTHON.format(version=version))

    def make_venv(self, python: str = "python3") -> subprocess.CompletedProcess[str]:
        """Runs the script as make does."""
        environment = {"PATH": str(self.path), "PYENV_ROOT": str(self.pyenv), "PYTHON": python}
        script = [str(self.folder / "bin/make-venv")]
        return subprocess.run(script, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=30)

    @property
    def version(self) -> str:
        """The version of the interpreter in .venv."""
        command = [str(self.folder / ".venv/bin/python"), "-c", ""]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_the_default_python_is_used_if_tensorflow_has_a_package_for_it(machine: Machine, version: str) -> None:
    machine.has_python("path/python3", version)
    machine.has_python("path/python3.12", "3.12")

    assert machine.make_venv().returncode == 0

    assert machine.version == version


@pytest.mark.parametrize("default", ["3.14", "3.15", "3.9"])
def test_another_python_in_the_path_replaces_a_default_that_does_not_fit(machine: Machine, default: str) -> None:
    machine.has_python("path/python3", default)
    machine.has_python("path/python3.11", "3.11")
    machine.has_python("path/python3.12", "3.12")

    told = machine.make_venv().stdout

    assert machine.version == "3.12"
    assert told == "Making .venv with python3.12 ...\n"


def test_a_python_of_pyenv_is_found_behind_a_shim_that_does_not_run(machine: Machine) -> None:
    machine.has_python("path/python3", "3.14")
    machine.has("path/python3.12", BROKEN)
    machine.has_python("pyenv/versions/3.12.1/bin/python3", "3.12")

    assert machine.make_venv().returncode == 0

    assert machine.version == "3.12"


def test_the_python_that_the_user_names_comes_first(machine: Machine) -> None:
    machine.has_python("path/python3", "3.12")
    machine.has_python("opt/my python", "3.11")

    assert machine.make_venv(python=str(machine.folder / "opt/my python")).returncode == 0

    assert machine.version == "3.11"


def test_an_environment_that_fits_is_left_alone(machine: Machine) -> None:
    machine.has_python("path/python3", "3.12")
    machine.has_python(".venv/bin/python", "3.11")

    assert machine.make_venv().stdout == ""

    assert machine.version == "3.11"


def test_an_environment_that_was_not_finished_is_replaced(machine: Machine) -> None:
    machine.has_python("path/python3", "3.12")
    machine.has(".venv/bin/python", '#!/bin/sh\n[ "$1" = -c ] && echo 3.12\n')  # without pip

    assert machine.make_venv().stdout == "Making .venv with python3 ...\n"


def test_an_environment_that_does_not_fit_is_replaced(machine: Machine) -> None:
    machine.has_python("path/python3", "3.14")
    machine.has_python("path/python3.13", "3.13")
    machine.has_python(".venv/bin/python", "3.14")

    assert machine.make_venv().returncode == 0

    assert machine.version == "3.13"


def test_uv_brings_a_python_if_the_machine_has_none(machine: Machine) -> None:
    machine.has_python("path/python3", "3.14")
    machine.has("path/uv", UV)

    assert machine.make_venv().returncode == 0

    assert (machine.folder / ".venv/made_by_uv").read_text() == "venv --quiet --seed --python >=3.11,<3.14 .venv\n"


def test_uv_is_installed_if_the_machine_has_none(machine: Machine) -> None:
    machine.has_python("path/python3", "3.14")
    machine.has("index/uv", UV)

    assert machine.make_venv().returncode == 0

    assert (machine.folder / ".venv/made_by_uv").exists()


@pytest.mark.parametrize("default", ["3.14", None])
def test_without_a_python_and_without_uv_one_sentence_says_what_to_install(machine: Machine, default: str | None) -> None:
    if default:
        machine.has_python("path/python3", default)

    failed = machine.make_venv()

    assert failed.returncode == 1
    assert failed.stderr == (
        "Install Python 3.11, 3.12 or 3.13 with its venv module, or uv: TensorFlow has no package for other versions.\n"
    )


# manage.py without packages


def manage(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a copy of manage.py with an interpreter that sees no packages."""
    shutil.copy(ROOT / "manage.py", folder)
    return subprocess.run([sys.executable, "-IS", "manage.py", *arguments], cwd=folder, capture_output=True, text=True, timeout=30)


def test_manage_says_which_command_to_type_if_the_packages_are_in_the_virtual_environment(tmp_path: Path) -> None:
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.touch()

    failed = manage(tmp_path, "train", "AAPL", "two words")

    assert failed.returncode == 1
    assert failed.stderr == "The packages are in .venv. Type: .venv/bin/python manage.py train AAPL 'two words'\n"


def test_manage_says_how_to_install_if_there_is_no_virtual_environment(tmp_path: Path) -> None:
    failed = manage(tmp_path, "run")

    assert failed.returncode == 1
    assert failed.stderr == "The packages are not installed. Type: make demo\n"


@pytest.mark.django_db
@pytest.mark.parametrize("folder", [ROOT, ROOT.parent])
def test_a_command_in_the_banner_works_as_typed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (login,) = re.findall(r"\(create a login: (.+ createsuperuser)\)", Command()._login())

    finished = subprocess.run([*shlex.split(login), "--help"], cwd=folder, capture_output=True, text=True, timeout=120)

    assert finished.returncode == 0, finished.stderr
