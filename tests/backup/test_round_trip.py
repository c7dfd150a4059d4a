"""The whole way: a service trains and forecasts, is backed up while it runs, is destroyed, and comes back from its backup."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from forecasting.runtime.private_service import PrivateService
from stockpred.embedded_postgres.server import EmbeddedPostgres
from tests.backup.places import Place, variables

KEPT = ["forecasting_" + name for name in ("symbol", "pricebar", "modelversion", "forecast", "score", "restatement", "finding")]
TICKERS = ["SAMPLE1", "SAMPLE2", "SAMPLE3"]

# What each version that serves computes from the stored bars, with all bits of each number, whatever the ledger holds.
COMPUTE = """
from forecasting import market, registry
from forecasting.market import stored
from forecasting.models import ModelVersion, Symbol
for version in ModelVersion.objects.active().order_by("pk"):
    symbol = version.symbol or Symbol.objects.get(ticker="SAMPLE1")
    forecast = registry.load_forecaster(version).forecast(stored.bars(symbol), exchange=symbol.calendar)
    print(version, [value.hex() for value in forecast.quantiles.values()])
"""


@pytest.fixture
def signals() -> Iterator[None]:
    """A private service takes the handlers over."""
    original = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in original.items():
        signal.signal(number, handler)


def embedded(folder: Path) -> Place:
    """The place of a service with the embedded Postgres."""
    server = EmbeddedPostgres.at(folder / "postgres")
    return Place(folder, server._conninfo(server.database_name), variables(folder))


@pytest.mark.timeout(900)  # trainings on a busy machine
@pytest.mark.usefixtures("signals")
def test_a_service_that_was_destroyed_comes_back_bit_for_bit(open_folder: Path, tmp_path: Path) -> None:
    with PrivateService(open_folder, prices=None, DJANGO_SETTINGS_MODULE="stockpred.settings") as service:
        service.until_up()
        service.until("the models", lambda: have_models(service), seconds=600)
        assert all(each["status"] == "success" for each in service.post("predict", symbols=TICKERS)["predictions"].values())
        folder = Path(service.env["STATE_DIR"])
        source = Place(folder, embedded(folder).conninfo, service.env)
        archive, ledger = backup_of_quiet_moment(source, tmp_path)
        computed = source.told("shell", "-v0", "-c", COMPUTE)
    assert not source.folder.exists()
    place = embedded(open_folder / "restored")
    place.told("restore", archive)
    assert {name: place.tables()[name] for name in KEPT} == ledger
    assert place.told("shell", "-v0", "-c", COMPUTE) == computed
    assert len(computed.splitlines()) == 3  # two symbols and the base
    assert place.told("predict", *TICKERS).count("version 1") == 2
    place.told("stop_postgres", "--destroy")


def have_models(service: PrivateService) -> bool:
    return all(each["model_exists"] for each in service.post("check", symbols=TICKERS[:2]))


def backup_of_quiet_moment(source: Place, folder: Path) -> tuple[Path, dict[str, str]]:
    """A backup while the service runs, and the tables then: its daily job may still add rows, so it takes a few tries."""
    for number in range(10):
        before = source.tables()
        source.told("backup", archive := folder / f"{number}.backup")
        after = source.tables()
        if all(before[name] == after[name] for name in KEPT):
            return archive, {name: after[name] for name in KEPT}
    raise AssertionError("the service never came to rest")
