"""Bokeh draws the charts in the browser. Its scripts are served from its package, which is not imported: no process needs that."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from csp.constants import SELF, UNSAFE_INLINE
from csp.decorators import csp_update
from django.contrib.staticfiles.finders import BaseFinder
from django.core.files.storage import FileSystemStorage

FILES = ("bokeh.min.js", "bokeh-api.min.js")

# A decorator of views whose page has a chart: Bokeh writes styles into its elements, and icons into its styles.
shows_chart = csp_update({"style-src": [SELF, UNSAFE_INLINE], "img-src": ["blob:"]})


class BokehFiles(BaseFinder):
    """Serves the needed files below `bokeh/`. Raises ModuleNotFoundError if the package is missing."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        spec = find_spec("bokeh")
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError("bokeh is not installed; run `pip install -r requirements.lock`")
        self.storage = FileSystemStorage(location=Path(spec.origin).parent / "server" / "static" / "js")
        self.storage.prefix = "bokeh"  # type: ignore[attr-defined]  # Django's finders and Whitenoise read it

    def find(self, path: str, find_all: bool = False, **_: Any) -> Any:
        """The file's place; without one, an empty list."""
        found = [self.storage.path(name) for name in FILES if path == f"bokeh/{name}"]
        return found if find_all or not found else found[0]

    def list(self, ignore_patterns: Any) -> Iterator[Any]:
        """The needed files."""
        return ((name, self.storage) for name in FILES)
