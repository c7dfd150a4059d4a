"""Budgets and fairness over HTTP: who is over budget gets 429 with the reason; a never-trained symbol keeps its position."""

from ipaddress import ip_network

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from forecasting.models import Symbol, Training
from forecasting.models.keys import Scope
from forecasting.models.trainings import TrainingReason, TrainingState
from forecasting.training.positions import positions_of
from tests.api.conftest import Count, Send, checked
from tests.api.keys import send_key
from tests.api.rows import LISTS
from tests.factories import make_symbol, make_training, make_version

pytestmark = pytest.mark.django_db

KNOWN = {"symbols": ["SAMPLE1"]}
SENTENCE = r"Your {who} may send {limit} requests a minute; try again in 60 s."


@pytest.fixture(autouse=True)
def _two_requests(settings: Settings) -> None:
    settings.ANONYMOUS_REQUESTS_PER_MINUTE, settings.KEY_REQUESTS_PER_MINUTE = 2, 4
    make_version(make_symbol())


def spend_all(client: APIClient) -> None:
    for _ in range(2):
        assert client.get("/models/symbols").status_code == 200


@pytest.mark.parametrize("route", ["check", "metrics", "predict"])
def test_main_routes_refuse_a_caller_over_budget(client: APIClient, post: Send, route: str) -> None:
    spend_all(client)
    assert post(route, KNOWN, status=429) == {"error": SENTENCE.format(who="address", limit=2), "details": {}}


def test_retrainings_count_as_requests(client: APIClient, post: Send) -> None:
    spend_all(client)
    post("retrain", {"symbol": "SAMPLE1"}, status=429)
    assert not Training.objects.exists()


@pytest.mark.parametrize("name", LISTS)
def test_lists_refuse_a_caller_over_budget(client: APIClient, get: Send, name: str) -> None:
    spend_all(client)
    get(f"/models/{name}", status=429)


def test_a_refusal_says_when_to_try_again(client: APIClient) -> None:
    spend_all(client)
    assert 50 <= int(client.get("/models/symbols").headers["Retry-After"]) <= 60


@pytest.mark.parametrize("credentials", [f"Api-Key {'a' * 8}.{'b' * 32}", "Api-Key wrong", ""])
def test_refused_requests_count_too(client: APIClient, settings: Settings, credentials: str) -> None:
    settings.API_KEY_REQUIRED = True
    client.credentials(HTTP_AUTHORIZATION=credentials)
    assert [client.get("/models/symbols").status_code for _ in range(3)] == [401, 401, 429]


@pytest.mark.parametrize("route", ["check", "predict", "retrain"])
def test_invalid_requests_count_too(client: APIClient, post: Send, route: str) -> None:
    for _ in range(2):
        post(route, {}, status=400)
    post(route, {}, status=429)


@pytest.mark.parametrize("method", ["put", "options"])
def test_requests_with_another_method_count_too(client: APIClient, method: str) -> None:
    for _ in range(2):
        assert getattr(client, method)("/models/predict").status_code != 429
    assert getattr(client, method)("/models/predict").status_code == 429


def test_answers_of_the_main_routes_count_once(client: APIClient, post: Send) -> None:
    post("predict", KNOWN)
    post("metrics", KNOWN)
    post("check", KNOWN, status=429)


def test_health_and_documentation_have_no_budget(client: APIClient) -> None:
    spend_all(client)
    assert [client.get(address).status_code for address in ("/health", "/swagger", "/schema")] == [200, 200, 200]


def test_a_key_has_its_own_larger_budget(client: APIClient) -> None:
    spend_all(client)
    send_key(client)
    assert [client.get("/models/symbols").status_code for _ in range(5)] == [200] * 4 + [429]
    assert client.get("/models/symbols").json()["error"] == SENTENCE.format(who="key", limit=4)


def test_a_client_cannot_choose_its_address(client: APIClient) -> None:
    spend_all(client)
    assert client.get("/models/symbols", headers={"x-forwarded-for": "203.0.113.9"}).status_code == 429


def test_callers_behind_a_trusted_proxy_have_their_own_budgets(client: APIClient, settings: Settings) -> None:
    settings.TRUSTED_PROXIES = [ip_network("127.0.0.1")]
    spend_all(client)
    assert client.get("/models/symbols", headers={"x-forwarded-for": "203.0.113.9"}).status_code == 200


@pytest.mark.usefixtures("today")  # during a session, the first predict asks for the price
@pytest.mark.parametrize("route", ["check", "metrics", "predict"])
def test_the_budget_costs_no_statement_of_its_own(post: Send, settings: Settings, count_queries: Count, route: str) -> None:
    post(route, KNOWN)
    counted = count_queries(lambda: post(route, KNOWN))
    settings.ANONYMOUS_REQUESTS_PER_MINUTE = 0
    assert count_queries(lambda: post(route, KNOWN)) == counted


@pytest.mark.parametrize("route", ["check", "metrics", "predict"])
def test_a_request_that_is_refused_costs_one_statement(post: Send, settings: Settings, count_queries: Count, route: str) -> None:
    for _ in range(2):
        post(route, KNOWN)
    assert count_queries(lambda: post(route, KNOWN, status=429)) == 1


# Retrainings


def test_a_symbol_that_was_retrained_just_now_is_refused_with_the_time_to_wait(client: APIClient) -> None:
    symbol = make_symbol("SAMPLE2")
    for _ in range(2):
        make_training(symbol, state=TrainingState.SUCCEEDED)
    response = client.post("/models/retrain", {"symbol": "SAMPLE2"}, format="json")
    answer = checked(response, "/models/retrain", status=429, method="post")
    assert answer["error"] == "The last training of SAMPLE2 ended less than 60 min ago; try again in 60 min."
    assert 3590 < int(response.headers["Retry-After"]) <= 3600


def test_a_train_key_retrains_it_all_the_same(client: APIClient, post: Send) -> None:
    symbol = make_symbol("SAMPLE2")
    for _ in range(2):
        make_training(symbol, state=TrainingState.SUCCEEDED)
    send_key(client, scope=Scope.TRAIN)
    assert post("retrain", {"symbol": "SAMPLE2"}, status=202)["training"]["reason"] == "requested"


def test_a_new_symbol_costs_the_budget_of_new_symbols(post: Send, settings: Settings) -> None:
    settings.ANONYMOUS_NEW_SYMBOLS_PER_DAY = 1
    post("retrain", {"symbol": "SAMPLE2"}, status=202)
    answer = post("retrain", {"symbol": "SAMPLE3"}, status=429)
    assert answer["error"] == "Your address may ask for 1 new symbols a day; try again in 24 h."
    assert not Symbol.objects.named(["SAMPLE3"]).exists()


def test_a_request_for_nothing_but_refused_names_ends_at_once(post: Send, settings: Settings, count_queries: Count) -> None:
    settings.ANONYMOUS_NEW_SYMBOLS_PER_DAY, settings.ANONYMOUS_REQUESTS_PER_MINUTE = 1, 0
    post("retrain", {"symbol": "SAMPLE2"}, status=202)
    names = {"symbols": [f"SAMPLE{number}" for number in range(3, 50)]}
    # What stands, which symbols and which names are known, and the budget.
    assert count_queries(lambda: post("predict", names, status=429)) == 4


def test_no_loop_of_anonymous_requests_moves_a_never_trained_symbol_back(client: APIClient, settings: Settings) -> None:
    """As if the requests came from many addresses, so that no budget stops them."""
    for name in ("REQUESTS_PER_MINUTE", "NEW_SYMBOLS_PER_DAY", "RETRAININGS_PER_DAY"):
        setattr(settings, f"ANONYMOUS_{name}", 0)
    tickers = [f"SAMPLE{number}" for number in range(2, 42)]
    for ticker in tickers:
        make_version(make_symbol(ticker))
    for number in (50, 51):
        first = make_training(make_symbol(f"SAMPLE{number}"), reason=TrainingReason.NEVER_TRAINED)
    for _ in range(4):
        for ticker in tickers:
            client.post("/models/retrain", {"symbol": ticker}, format="json")
            client.post("/models/check", {"symbols": [ticker]}, format="json")
    client.post("/models/predict", {"symbols": tickers}, format="json")
    assert Training.objects.queued().count() == 42
    assert positions_of([first])[first.pk].number == 2
