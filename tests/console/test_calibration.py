"""Calibration by session."""

import math

import pytest

from forecasting.console.calibration import SESSIONS, Calibration, calibration, chosen
from forecasting.console.plot import HEIGHT, WIDTH, calibration_plot
from forecasting.models.forecasts import Basis
from tests.console.scored import LAST, score_days
from tests.factories import make_symbol, make_version

pytestmark = pytest.mark.django_db


def of_two_symbols(insides: list[bool]) -> Calibration:
    """One symbol whose closes are always inside, and one with these."""
    score_days(make_version(make_symbol("A")), [True] * len(insides))
    score_days(make_version(make_symbol("B")), insides)
    return calibration(Basis.CLOSE, 1)


def test_each_session_has_its_share_and_the_mean_of_twenty() -> None:
    days = of_two_symbols([place % 2 == 0 for place in range(21)]).days
    assert [(day.share, day.count, day.mean) for day in days[:2]] == [(1.0, 2, None), (0.5, 2, None)]
    assert (days[-1].date, days[-1].mean) == (LAST, 0.75)


def test_only_the_last_sessions_are_shown() -> None:
    assert len(of_two_symbols([True] * (SESSIONS + 3)).days) == SESSIONS


def test_days_are_the_sample_of_the_chance_band() -> None:
    found = of_two_symbols([place % 2 == 0 for place in range(40)])
    assert found.chance == pytest.approx(2.576 * 0.2532 / math.sqrt(20), rel=1e-3)
    assert found.told.startswith(
        "75.0 % of the closes of the last 20 sessions were inside; 80 \N{PLUS-MINUS SIGN} 14.6 % are promised"
    )
    assert found.told.endswith(": as chance may have it.")


def test_a_mean_outside_the_band_is_more_than_chance() -> None:
    found = of_two_symbols([*(place % 2 == 0 for place in range(60)), *[False] * 20])
    assert found.told.endswith(": more than chance.")


def test_few_sessions_tell_nothing_of_chance() -> None:
    found = of_two_symbols([True] * 20)
    assert found.deviation is None
    assert "too few sessions" in found.told


def test_other_horizons_are_apart() -> None:
    version = make_version(make_symbol())
    score_days(version, [True])
    score_days(version, [False, False], horizon=5)
    assert [day.share for day in calibration(Basis.CLOSE, 5).days] == [0.0, 0.0]


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ({}, (Basis.CLOSE, 1)),
        ({"basis": "lead", "horizon": "1"}, (Basis.LEAD, 1)),
        ({"basis": "close", "horizon": "21"}, (Basis.CLOSE, 21)),
        ({"basis": "lead", "horizon": "5"}, (Basis.CLOSE, 1)),
        ({"basis": "nonsense", "horizon": "x"}, (Basis.CLOSE, 1)),
    ],
)
def test_the_page_chooses_basis_and_horizon(query: dict[str, str], kind: tuple[Basis, int]) -> None:
    assert chosen(query) == kind


def test_the_chart_fills_its_box() -> None:
    plot = calibration_plot(of_two_symbols([place % 2 == 0 for place in range(40)]))
    assert len(plot.columns) == 40
    assert plot.columns[-1].x + plot.columns[-1].width == pytest.approx(WIDTH)
    assert plot.bottom == 0.5
    assert plot.level == pytest.approx(0.4 * HEIGHT)
    assert plot.shares.startswith("7.5,0.0 22.5,150.0")
    assert len(plot.means.split()) == 21


def test_a_chart_of_nothing_has_no_line() -> None:
    plot = calibration_plot(calibration(Basis.LIVE, 1))
    assert (plot.shares, plot.means, plot.band_height) == ("", "", 0.0)
