"""Pausing the automatic training of symbols."""

import pytest

from forecasting.models import Symbol
from forecasting.training import pausing
from forecasting.training import requests as training_requests
from tests.factories import make_symbol

pytestmark = pytest.mark.django_db


def test_a_pause_says_since_when_and_by_whom() -> None:
    pausing.pause([make_symbol()], by="account ana")
    symbol = Symbol.objects.get()
    assert symbol.paused_at is not None
    assert symbol.paused_by == "account ana"


def test_a_second_pause_keeps_the_first() -> None:
    symbol = make_symbol()
    pausing.pause([symbol], by="account ana")
    first = Symbol.objects.get().paused_at
    pausing.pause([symbol], by="account ben")
    assert (Symbol.objects.get().paused_at, Symbol.objects.get().paused_by) == (first, "account ana")


def test_it_pauses_only_the_given_symbols() -> None:
    pausing.pause([make_symbol("SAMPLE1")], by="account ana")
    other = make_symbol("SAMPLE2")
    assert list(Symbol.objects.trained_automatically()) == [other]


def test_a_resumed_symbol_is_trained_automatically() -> None:
    symbol = make_symbol()
    pausing.pause([symbol], by="account ana")
    pausing.resume([symbol], by="account ana")
    assert list(Symbol.objects.trained_automatically().values_list("paused_at", "paused_by")) == [(None, "")]


def test_what_people_request_is_trained_all_the_same() -> None:
    symbol = make_symbol()
    pausing.pause([symbol], by="account ana")
    assert training_requests.request_one(symbol, by="account ana").is_active
