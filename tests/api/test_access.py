"""Each answer has the id of its request, and the access log says who asked for what; neither tells secrets."""

import logging
from collections.abc import Iterator
from ipaddress import ip_network

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings
from rest_framework.test import APIClient

from forecasting.models import Training
from forecasting.tracing import Trace
from tests.api.conftest import Send
from tests.api.keys import make_key

pytestmark = pytest.mark.django_db

LINE = "{levelname} {name} {request_id} {message}"


class Lines(logging.Handler):
    """Keeps lines as the service would write them, tracebacks included."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []
        self.setFormatter(logging.Formatter(LINE, style="{", defaults={"request_id": "-"}))
        self.addFilter(Trace())

    def emit(self, record: logging.LogRecord) -> None:
        self.written.append(self.format(record))

    def of(self, logger: str) -> list[str]:
        return [line for line in self.written if f" {logger}" in line.partition("\n")[0]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler = Lines()
    loggers = [logging.getLogger(name) for name in ("", "forecasting.access")]
    for logger in loggers:
        logger.addHandler(handler)
    yield handler
    for logger in loggers:
        logger.removeHandler(handler)


def test_an_answer_has_the_id_of_its_request(client: APIClient) -> None:
    first, second = (client.get("/health/live")["X-Request-ID"] for _ in range(2))
    assert len(first) == 32
    assert first != second


@pytest.mark.parametrize(("sent", "kept"), [("abc-1.2_Z", True), ("x" * 65, False), ("a b", False), ("a\nb", False), ("", False)])
def test_a_well_formed_id_of_a_trusted_proxy_is_kept(client: APIClient, settings: Settings, sent: str, kept: bool) -> None:
    settings.TRUSTED_PROXIES = [ip_network("127.0.0.0/8")]
    assert (client.get("/health/live", headers={"X-Request-ID": sent})["X-Request-ID"] == sent) is kept


def test_the_id_of_a_stranger_is_replaced(client: APIClient) -> None:
    assert client.get("/health/live", headers={"X-Request-ID": "abc"})["X-Request-ID"] != "abc"


def test_scripts_of_other_sites_may_read_the_id(client: APIClient, settings: Settings) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["https://example.org"]
    answer = client.get("/health/live", headers={"Origin": "https://example.org"})
    assert "X-Request-ID" in answer["Access-Control-Expose-Headers"].split(", ")


@pytest.mark.parametrize(
    ("path", "logged"),
    [
        ("/health/live", "GET health/live 200"),
        ("/models/symbols/NOBODY", "GET models/symbols/{ticker} 404"),
        ("/no/such/page", "GET unmatched 404"),
        ("/admin/forecasting/symbol/7/change/", "GET admin/forecasting/symbol/{object_id}/change/ 302"),
    ],
)
def test_the_access_log_names_the_route_and_not_the_path(client: APIClient, lines: Lines, path: str, logged: str) -> None:
    request_id = client.get(path)["X-Request-ID"]
    (line,) = lines.of("forecasting.access")
    assert line.startswith(f"INFO forecasting.access {request_id} {logged} ")
    assert line.endswith(" ms address 127.0.0.1")


def test_an_invented_method_is_not_logged(client: APIClient, lines: Lines) -> None:
    client.generic("A" * 9000, "/health/live")
    assert "other health/live 405" in lines.of("forecasting.access")[0]


def test_the_access_log_names_the_key(client: APIClient, lines: Lines) -> None:
    _, text = make_key()
    client.get("/models/symbols", headers={"Authorization": f"Api-Key {text}"})
    assert lines.of("forecasting.access")[0].endswith(" ms key robot")


def test_the_access_log_names_the_account_of_a_page(client: APIClient, lines: Lines) -> None:
    client.force_login(User.objects.create_superuser("ana"))
    client.get("/admin/")
    assert lines.of("forecasting.access")[0].endswith(" ms account ana")


def test_every_line_of_a_request_has_its_id_and_later_ones_have_none(client: APIClient, lines: Lines) -> None:
    request_id = client.get("/no/such/page")["X-Request-ID"]
    logging.getLogger("forecasting").warning("later")
    assert [line.split(" ")[2] for line in lines.written] == [request_id, request_id, "-"]


def test_a_training_keeps_the_id_of_the_request_that_asked_for_it(post: Send, lines: Lines) -> None:
    post("check", {"symbols": ["SAMPLE1"]})
    (access,) = [line for line in lines.of("forecasting.access") if " POST " in line]
    training = Training.objects.get()
    assert training.request_id == access.split(" ")[2]
    assert training.log_fields["request_id"] == training.request_id


def test_a_wrong_host_is_a_warning_without_a_traceback(lines: Lines) -> None:
    assert Client().get("/health/live", headers={"Host": "evil.example"}).status_code == 400
    (told,) = lines.of("django.security.DisallowedHost")
    assert told.startswith("WARNING ")
    assert "Traceback" not in told
    assert not [line for line in lines.written if line.startswith("ERROR")]


def test_no_line_tells_a_key_a_password_or_a_query(client: APIClient, lines: Lines) -> None:
    _, key = make_key()
    Client().post("/admin/login/", {"username": "ana", "password": "hidden-password"})
    client.post("/models/retrain", {"symbol": "SAMPLE1"}, format="json", headers={"Authorization": f"Api-Key {key}"})
    client.get("/models/symbols?token=hidden-query", headers={"Authorization": "Api-Key hidden-key"})
    assert lines.of("forecasting.access")
    assert not [line for line in lines.written if "hidden" in line or key in line]
