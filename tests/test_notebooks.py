"""The notebooks run from top to bottom, in a fresh kernel of this interpreter. Committed are their figures alone, small."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))

VARIABLES = ("SYMBOL", "SYMBOLS", "PRICES", "LEADS", "HOURLY", "SPLITS", "BASE", "SEED")  # after NOTEBOOK_, see docs/notebooks.md
LARGEST = 300_000  # characters of a notebook's figures; `make notebooks` shrinks them

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@each_notebook
def test_it_runs_on_simulated_prices_from_any_folder(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(f"NOTEBOOK_{name}", raising=False)
    monkeypatch.setenv("JPY_SESSION_NAME", str(path))  # Jupyter passes the notebook's name to the kernel in it

    notebook = executed(path, working_directory=tmp_path)

    assert "image/png" in {kind for output in outputs(notebook) for kind in output.get("data", {})}
    assert "SIMULATED" in "".join(output.get("text", "") for output in outputs(notebook))
    assert [output["text"] for output in outputs(notebook) if output.get("name") == "stderr"] == []


@each_notebook
def test_it_is_committed_with_small_figures_alone(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    figures = outputs(notebook)
    assert figures
    assert {kind for output in figures for kind in output.get("data", {"text": ""})} == {"image/png"}
    assert sum(len(output.data["image/png"]) for output in figures) < LARGEST
    assert {cell.execution_count for cell in notebook.cells if cell.cell_type == "code"} == {None}


def executed(path: Path, *, working_directory: Path) -> Any:
    """Runs the notebook and returns it with outputs. Raises CellExecutionError if a cell fails, CellTimeoutError if one hangs."""
    notebook = nbformat.read(path, as_version=4)
    # Without search folders, "python3" is always the interpreter of the tests, even if other kernels are installed.
    kernel = AsyncKernelManager(kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
    where = {"metadata": {"path": str(working_directory)}}
    client = NotebookClient(notebook, km=kernel, timeout=120, resources=where)
    return client.execute(cleanup_kc=True)  # otherwise a kernel manager that was passed in keeps its kernel


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
