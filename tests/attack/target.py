"""The service under attack: `manage.py run` as deployed, a fake Yahoo as its price source, and ways to reach it."""

import http.client
import json
import os
import re
import socket
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import django

from forecasting.prices.calendars import last_completed_session
from forecasting.runtime.private_service import PrivateService
from forecasting.runtime.processes import wait_for
from tests.fake_yahoo import FakeYahoo, generated_bars

KNOWN = ("KNOWN1", "KNOWN2", "KNOWN3")  # the honest client's symbols
TRAINED = ("RETRAIN1", "RETRAIN2", "RETRAIN3", "RETRAIN4", "RETRAIN5", "RETRAIN6")
NEW = ("NEW1", "NEW2", "HOOKED", "AWAITED")  # known to the price source, never asked for before their attack
ATTACKER, OWNER = "127.6.6.6", "127.8.8.8"
PROXY = "127.0.0.1"  # the only one that is trusted
HISTORY = timedelta(days=3 * 365)
REQUESTS_PER_MINUTE = 300  # the default; PrivateService has none
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it was received. Status 0: the connection ended without one."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON; None if it is something else."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def is_json_error(self) -> bool:
        """Whether it has the shape of the API's errors, and shows no inside of the service."""
        shaped = isinstance(self.json, dict) and set(self.json) == {"error", "details"}
        return shaped and not re.search(rb"Traceback|SELECT |\.py\b", self.body)

    @property
    def says_when(self) -> bool:
        """Whether it is an error that says when to try again."""
        return self.is_json_error and self.headers.get("Retry-After", "").isdecimal()


class Target:
    """A running service. `short`: the form of `make test`, which waits for nothing that only timings need."""

    def __init__(self, service: PrivateService, yahoo: FakeYahoo, *, short: bool) -> None:
        self.service, self.yahoo, self.short = service, yahoo, short
        self.port = service.port

    def connect(self, address: str = ATTACKER, *, timeout: float = 60.0) -> socket.socket:
        """A raw connection from this address."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout, source_address=(address, 0))

    def ask(self, method: str, path: str, body: Any = None, *, by: str = ATTACKER, headers: dict[str, str] | None = None) -> Answer:
        """The answer to a request from this address. A body that is no text is sent as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60, source_address=(by, 0))
        sent = body if body is None or isinstance(body, str) else json.dumps(body)
        try:
            connection.request(method, path, sent, JSON | (headers or {}))
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def send(self, data: bytes, *, by: str = ATTACKER) -> Answer:
        """The answer to bytes that are sent as they are."""
        with self.connect(by) as client:
            try:
                client.sendall(data)
                response = http.client.HTTPResponse(client)
                response.begin()
                return Answer(response.status, response.headers, response.read())
            except (OSError, http.client.HTTPException):
                return Answer(0, http.client.HTTPMessage(), b"")

    def log_in(self, username: str, password: str, *, by: str) -> tuple[Answer, str]:
        """The answer of the admin's login form, and the cookies of the session."""
        form = self.ask("GET", "/admin/login/", by=by)
        token = _cookies(form).get("csrftoken", "")
        fields = {"username": username, "password": password, "csrfmiddlewaretoken": token}
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": f"csrftoken={token}"}
        answer = self.ask("POST", "/admin/login/", urlencode(fields), by=by, headers=headers)
        return answer, "; ".join(f"{name}={value}" for name, value in _cookies(answer).items())

    def until_trained(self, symbols: Sequence[str]) -> None:
        """Waits until each symbol has a version of its own. Raises ServiceError."""
        from forecasting.models import ModelVersion  # noqa: PLC0415 - needs Django

        versions = ModelVersion.objects.filter(symbol__ticker__in=symbols, state="active").values("symbol").distinct()
        self.service.until(f"versions of {symbols}", lambda: versions.count() == len(symbols), seconds=400)

    def until_idle(self) -> None:
        """Waits until no training that may run has not ended. Raises ServiceError."""
        from forecasting.models import Training  # noqa: PLC0415 - needs Django

        self.service.until("the trainings", lambda: not Training.objects.active().exists(), seconds=900)


def _cookies(answer: Answer) -> dict[str, str]:
    pairs = [each.partition(";")[0].partition("=") for each in answer.headers.get_all("Set-Cookie") or []]
    return {name: value for name, _, value in pairs}


@contextmanager
def running(folder: Path, *, short: bool) -> Iterator[Target]:
    """The service with default budgets; its database is Django's in this process, so Django must not be set up before."""
    with FakeYahoo() as yahoo:
        now = datetime.now(tz=UTC)
        last = last_completed_session("XNYS", now=now)
        yahoo.bars |= {symbol: generated_bars(symbol, first=last - HISTORY, last=last) for symbol in (*KNOWN, *TRAINED, *NEW)}
        variables = {
            "PRICE_SOURCE": "yahoo",
            "YAHOO_URL": yahoo.url,
            "TRUSTED_PROXIES": PROXY,
            "ANONYMOUS_REQUESTS_PER_MINUTE": str(REQUESTS_PER_MINUTE),
        }
        with PrivateService(folder, prices=None, **variables) as service:
            service.until_up()
            os.environ.update(service.env | {"DJANGO_SETTINGS_MODULE": "stockpred.settings", "ENABLE_LOGS": "False"})
            django.setup()
            from django.db import connection  # noqa: PLC0415 - needs Django

            try:
                target = Target(service, yahoo, short=short)
                _prepare(target)
                yield target
            finally:
                connection.close()


def _prepare(target: Target) -> None:
    """Waits until the honest client's symbols have forecasts; in the long form, until all trainings have ended."""
    wanted = KNOWN if target.short else (*KNOWN, *TRAINED)

    def served() -> bool:
        predictions = target.ask("POST", "/models/predict", {"symbols": list(wanted)}, by=OWNER).json["predictions"]
        return {each["status"] for each in predictions.values()} == {"success"}

    assert wait_for(served, seconds=120, every_s=0.5), "the known symbols have no forecasts"
    if not target.short:
        target.until_trained(wanted)
        target.until_idle()


def rows() -> dict[str, int]:
    """The number of rows of each table of the service."""
    from django.db import connection  # noqa: PLC0415 - needs Django

    with connection.cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1")
        names = [name for (name,) in cursor.fetchall()]
        cursor.execute(" UNION ALL ".join(f"SELECT '{name}', count(*) FROM \"{name}\"" for name in names))  # noqa: S608 - ours
        return dict(cursor.fetchall())


def each(function: Any, values: Iterable[Any], *, at_once: int) -> list[Any]:
    """The results of the function for all values, so many at the same time."""
    with ThreadPoolExecutor(at_once) as threads:
        return list(threads.map(function, values))


def over_budget(statuses: Iterable[int], *, seconds: float) -> list[str]:
    """The problem if an address got more answers in this time than its budget of requests allows."""
    answered, allowed = sum(status != 429 for status in statuses), REQUESTS_PER_MINUTE * (1 + int(seconds / 60))
    return [f"{answered} requests were answered, the budget is {allowed}"] if answered > allowed else []
