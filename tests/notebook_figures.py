"""`make notebooks`: runs each notebook on simulated prices and keeps its figures, small, as its only outputs."""

import base64
import io
import os
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from PIL import Image

from tests.test_notebooks import NOTEBOOKS, VARIABLES, executed

DOCS = Path(__file__).resolve().parent.parent / "docs"
WIDTH = 560  # pixels of a figure
COLOURS = 64  # of an octree: a median cut would grey the colours of thin lines
PICTURE = ("session.ipynb", 1, DOCS / "session.png")  # notebook, number of its figure, and where the pages show it


def main() -> None:
    """Writes every notebook anew. Text outputs stay out: they hold durations, which differ from run to run."""
    for name in VARIABLES:
        os.environ.pop(f"NOTEBOOK_{name}", None)
    for path in NOTEBOOKS:
        with tempfile.TemporaryDirectory() as folder:
            nbformat.write(notebook := with_figures(path, executed(path, working_directory=Path(folder))), path)
        name, number, picture = PICTURE
        if path.name == name:
            figures = [output.data["image/png"] for cell in notebook.cells for output in cell.get("outputs", [])]
            picture.write_bytes(base64.b64decode(figures[number]))


def with_figures(path: Path, run: Any) -> Any:
    """The notebook as it is written, with the figures of a run of it."""
    notebook = nbformat.read(path, as_version=4)
    written = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell, done in zip(written, [cell for cell in run.cells if cell.cell_type == "code"], strict=True):
        figures = [output.data["image/png"] for output in done.outputs if "image/png" in output.get("data", {})]
        cell.outputs = [nbformat.v4.new_output("display_data", data={"image/png": shrunk(figure)}) for figure in figures]
    return notebook


def shrunk(figure: str) -> str:
    """A base64 PNG with fewer pixels and colours."""
    image = Image.open(io.BytesIO(base64.b64decode(figure))).convert("RGB")
    small = image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    small.quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


if __name__ == "__main__":
    main()
