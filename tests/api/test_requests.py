"""Symbols that the main routes accept, and requests that they refuse before anything starts."""

from typing import Any

import pytest
from django_q.models import OrmQ
from rest_framework.test import APIClient

from forecasting.models import Symbol, Training
from tests.api.conftest import Send

pytestmark = pytest.mark.django_db

ROUTES = ("check", "metrics", "predict")
PATTERN = "A symbol has 1 to 24 characters: letters, digits and . ^ = & _ -, and starts with a letter, a digit or ^."
ISIN = "This is an ISIN; give the exchange's symbol, such as PETR4.SA."

INVALID_SYMBOLS = {
    "a space inside": ("PETR4 SA", PATTERN),
    "25 characters": ("A" * 25, PATTERN),
    "a line break inside": ("AA\nPL", PATTERN),
    "an invalid first character": (".SA", PATTERN),
    "a path": ("../../etc/passwd", PATTERN),
    "letters whose upper case is ASCII": ("\u017fample1", PATTERN),  # a long s
    "digits that are not ASCII": ("SAMPLE\u0661", PATTERN),
    "an ISIN": ("BRPETRACNPR6", ISIN),
    "an ISIN in lower case": ("us0378331005", ISIN),
    "a NUL": ("AAPL\0", PATTERN),
    "a lone surrogate": ("AAPL\ud800", PATTERN),
    "nothing": ("", "This field may not be blank."),
    "only space": (" \t", "This field may not be blank."),
    "null": (None, "This field may not be null."),
    "a number": (4, "Expected a string, got int."),
    "a boolean": (True, "Expected a string, got bool."),
    "a list": (["SAMPLE1"], "Expected a string, got list."),
    "an object": ({"symbol": "SAMPLE1"}, "Expected a string, got dict."),
}
INVALID_BODIES: dict[str, tuple[Any, dict[str, list[str]]]] = {
    "no symbols": ({}, {"symbols": ["This field is required."]}),
    "symbols that are null": ({"symbols": None}, {"symbols": ["This field may not be null."]}),
    "an empty list": ({"symbols": []}, {"symbols": ["A request names 1 to 50 symbols, not 0."]}),
    "51 symbols": (
        {"symbols": [f"S{number}" for number in range(51)]},
        {"symbols": ["A request names 1 to 50 symbols, not 51."]},
    ),
    "a string": ({"symbols": "SAMPLE1"}, {"symbols": ['Expected a list of items but got type "str".']}),
    "an object": ({"symbols": {"0": "SAMPLE1"}}, {"symbols": ['Expected a list of items but got type "dict".']}),
    "a body that is a list": (["SAMPLE1"], {"non_field_errors": ["Invalid data. Expected a dictionary, but got list."]}),
    "a body that is a string": ("SAMPLE1", {"non_field_errors": ["Invalid data. Expected a dictionary, but got str."]}),
    "a body that is null": (None, {"non_field_errors": ["No data provided"]}),
}


def assert_nothing_was_started() -> None:
    assert not Symbol.objects.exists()
    assert not Training.objects.exists()
    assert not OrmQ.objects.exists()


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(("symbol", "reason"), INVALID_SYMBOLS.values(), ids=INVALID_SYMBOLS)
def test_an_invalid_symbol_is_refused_with_its_index(post: Send, route: str, symbol: Any, reason: str) -> None:
    answer = post(route, {"symbols": ["SAMPLE1", symbol]}, status=400)
    assert answer == {"error": "The request is invalid.", "details": {"symbols": {"1": [reason]}}}


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(("body", "details"), INVALID_BODIES.values(), ids=INVALID_BODIES)
def test_an_invalid_body_is_refused_with_the_field_and_the_reason(post: Send, route: str, body: Any, details: Any) -> None:
    assert post(route, body, status=400) == {"error": "The request is invalid.", "details": details}


@pytest.mark.parametrize("route", ROUTES)
def test_a_request_with_one_invalid_symbol_starts_nothing(post: Send, route: str) -> None:
    post(route, {"symbols": ["SAMPLE1", "no symbol"]}, status=400)
    assert_nothing_was_started()


@pytest.mark.parametrize(("symbol", "reason"), INVALID_SYMBOLS.values(), ids=INVALID_SYMBOLS)
def test_an_invalid_symbol_is_not_retrained(post: Send, symbol: Any, reason: str) -> None:
    answer = post("retrain", {"symbol": symbol}, status=400)
    assert answer == {"error": "The request is invalid.", "details": {"symbol": [reason]}}
    assert_nothing_was_started()


@pytest.mark.parametrize("body", [{}, {"symbols": ["SAMPLE1"]}], ids=["nothing", "a list"])
def test_a_retraining_needs_its_symbol(post: Send, body: Any) -> None:
    assert post("retrain", body, status=400)["details"] == {"symbol": ["This field is required."]}


@pytest.mark.parametrize("route", ROUTES)
def test_thousands_of_invalid_symbols_get_one_short_answer(post: Send, client: APIClient, route: str) -> None:
    response = client.post(f"/models/{route}", {"symbols": [""] * 20_000}, format="json")
    assert response.json()["details"] == {"symbols": ["A request names 1 to 50 symbols, not 20000."]}


@pytest.mark.parametrize("symbol", ["sample1", " SAMPLE1 ", "\tSample1\r\n", "SAMPLE1\n"])
def test_case_and_surrounding_space_are_ignored(post: Send, symbol: str) -> None:
    (answer,) = post("check", {"symbols": [symbol]})
    assert answer["symbol"] == "SAMPLE1"
    assert Symbol.objects.get().ticker == "SAMPLE1"


def test_duplicates_collapse_and_the_order_is_kept(post: Send) -> None:
    symbols = ["SAMPLE3", "sample1", "SAMPLE3 ", "SAMPLE2", "SAMPLE1"]
    assert [each["symbol"] for each in post("metrics", {"symbols": symbols})] == ["SAMPLE3", "SAMPLE1", "SAMPLE2"]
    assert list(post("predict", {"symbols": symbols})["predictions"]) == ["SAMPLE3", "SAMPLE1", "SAMPLE2"]


@pytest.mark.parametrize("ticker", ["^BVSP", "BRL=X", "BTC-USD", "M&M.NS", "BRK-B", "0700.HK", "ES_F", "A" * 24])
def test_symbols_of_every_kind_are_accepted(post: Send, ticker: str) -> None:
    assert post("check", {"symbols": [ticker]})[0]["symbol"] == ticker


def test_fifty_symbols_are_accepted(post: Send) -> None:
    assert len(post("check", {"symbols": [f"SAMPLE{number}" for number in range(1, 51)]})) == 50


def test_unknown_members_are_ignored(post: Send) -> None:
    assert len(post("check", {"symbols": ["SAMPLE1"], "colour": "blue"})) == 1


@pytest.mark.parametrize("route", [*ROUTES, "retrain"])
def test_a_trailing_slash_is_optional(client: APIClient, route: str) -> None:
    body = {"symbol": "SAMPLE1"} if route == "retrain" else {"symbols": ["SAMPLE1"]}
    with_slash, without = (client.post(f"/models/{route}{end}", body, format="json") for end in ("/", ""))
    assert with_slash.status_code == without.status_code == (202 if route == "retrain" else 200)
