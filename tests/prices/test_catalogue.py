"""The table of price sources."""

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.utils.module_loading import import_string

from forecasting.prices.catalogue import SOURCES, is_simulated

ROOT = Path(__file__).parent.parent.parent


def test_every_entry_makes_a_source_from_the_settings(tmp_path: Path) -> None:
    settings = SimpleNamespace(YAHOO_URL=None, STATE_DIR=tmp_path, PRICE_DIR=tmp_path, SEED=42)
    for entry in SOURCES.values():
        source = import_string(entry.path)(**entry.options(settings))
        assert callable(source.fetch)


def test_only_the_sample_is_simulated_and_only_yahoo_is_remote() -> None:
    assert [name for name in SOURCES if is_simulated(name)] == ["sample"]
    assert [name for name, entry in SOURCES.items() if entry.remote] == ["yahoo"]


def test_an_unknown_source_is_not_simulated() -> None:
    assert not is_simulated("google")


@pytest.mark.parametrize("page", ["docs/configuration.md", ".env.example"])
def test_the_documentation_names_every_source(page: str) -> None:
    (line, *_) = re.findall(r"^.*(?:`PRICE_SOURCE`|Prices:).*$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    assert [name for name in SOURCES if name not in line] == []


def test_the_table_imports_no_source() -> None:
    code = "import sys, forecasting.prices.catalogue; print(sorted({'numpy', 'pandas', 'yfinance'} & {*sys.modules}))"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout == "[]\n"
