"""Attacks on accounts and on the inside: guessed passwords, planted pickles, webhooks into the private network."""

import base64
import os
import pickle
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.contrib.auth import get_user_model
from django.core import signing
from django.utils import timezone
from django_q.conf import Conf
from django_q.models import OrmQ, Task
from django_q.signing import PickleSerializer
from django_q.tasks import async_task
from picklefield.fields import PickledObject

from forecasting.background.outgoing import post
from forecasting.models import Delivery, Key, Webhook
from forecasting.models.keys import Scope
from forecasting.models.webhooks import WebhookEvent
from tests.attack.target import OWNER, Answer, Target, each
from tests.receiver import Receiver, receiver

GUESSES_BEFORE_LOCK = 5  # the default
AT_ONCE = 8
FORM, BASIC = "127.6.6.4", "127.6.6.5"
HOOK = "127.6.6.7"
PRIVATE_HOSTS = (
    "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0", "[::1]", "[::ffff:127.0.0.1]", "localhost", "LOCALHOST.",
    "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "[fd00::1]", "[fe80::1]", "[64:ff9b::7f00:1]",
    "user:password@127.0.0.1", socket.gethostname(),
)  # fmt: skip # written in all ways; names resolve to loopback or to this machine


def guessed_logins(target: Target, count: int) -> list[str]:
    """Case 5: guesses at the administrator's password, in the form of the admin and by HTTP Basic."""
    password = _make_administrator()
    problems = _guess(count, "form", lambda guess: target.log_in("root", guess, by=FORM)[0], password=password)
    problems += _guess(count, "Basic", lambda guess: _basic(target, guess, by=BASIC), password=password)
    owner, _ = target.log_in("root", password, by=OWNER)
    if owner.status != 302:
        problems.append(f"the owner cannot log in: {owner.status}")
    if (basic := _basic(target, password, by=OWNER)).status in {401, 403, 429}:
        problems.append(f"the owner is refused by Basic: {basic.status}")
    return problems


def _guess(count: int, how: str, log_in: Callable[[str], Answer], *, password: str) -> list[str]:
    """First one after the other, then many at the same time; the last one is right."""
    first = [log_in(f"guess {number}").status for number in range(GUESSES_BEFORE_LOCK + 1)]
    rest = each(lambda number: log_in(f"wrong {number}"), range(count - len(first)), at_once=AT_ONCE)
    last = log_in(password)
    problems = [] if first[-1] == 429 else [f"{how}: not locked after {GUESSES_BEFORE_LOCK} guesses: {first}"]
    if {answer.status for answer in [*rest, last]} != {429}:
        problems.append(f"{how}: answers after the lock: { {answer.status for answer in [*rest, last]} }")
    return problems


def _basic(target: Target, password: str, *, by: str) -> Answer:
    text = base64.b64encode(f"root:{password}".encode()).decode()
    return target.ask("POST", "/models/versions/0/activate", by=by, headers={"Authorization": f"Basic {text}"})


def _make_administrator() -> str:
    """The password of the account `root`, new each time."""
    password = secrets.token_urlsafe()
    users = get_user_model().objects
    user = users.filter(username="root").first() or users.create_superuser("root")
    user.set_password(password)
    user.save()
    return password


class Trap:
    """An object that makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


def planted_pickles(target: Target, count: int) -> list[str]:
    """Case 7: rows with pickles in the tables of django-q2, which an administrator looks at."""
    folder = Path(target.service.env["STATE_DIR"]) / f"sprung-{secrets.token_hex(4)}"
    tasks, forged = _plant(folder, count)
    pages = [f"/admin/django_q/{'success' if task.success else 'failure'}/{task.pk}/change/" for task in tasks]
    pages += [f"/admin/django_q/{table}/" for table in ("success", "failure", "ormq", "schedule")]
    _, cookies = target.log_in("root", _make_administrator(), by=OWNER)
    answers = [target.ask("GET", page, by=OWNER, headers={"Cookie": cookies}) for page in pages]
    target.service.until("the forged task to be refused", lambda: not OrmQ.objects.filter(pk=forged.pk).exists(), seconds=120)
    harmless = async_task("forecasting.background.tasks.forget_ended_budgets")
    target.service.until("another task to be saved", lambda: Task.objects.filter(pk=harmless).exists(), seconds=60)
    problems = ["a pickle was opened"] if folder.exists() else []
    problems += [f"{page}: {answer.status}" for page, answer in zip(pages, answers, strict=True) if answer.status != 200]
    Task.objects.get(pk=tasks[0].pk)
    return problems + ([] if folder.exists() else ["the trap does not work"])


def _plant(folder: Path, count: int) -> tuple[list[Task], OrmQ]:
    """The rows of finished tasks, and a queued task with the signature of another key."""
    now = timezone.now()
    pickled = PickledObject(base64.b64encode(pickle.dumps(Trap(folder))).decode())
    fields: dict[str, Any] = {"args": pickled, "kwargs": pickled, "result": pickled, "started": now, "stopped": now}
    tasks = [
        Task(id=secrets.token_hex(16), name="trap", func="builtins.print", success=success, **fields)
        for success in (True, False) * count
    ]
    Task.objects.bulk_create(tasks)
    payload = signing.dumps(Trap(folder), key="of the attacker", salt=Conf.PREFIX, serializer=PickleSerializer)
    return tasks, OrmQ.objects.create(key="short", payload=payload, lock=now)


def private_webhooks(target: Target, _: int) -> list[str]:
    """Case 8: webhooks that lead to this machine and its network, by address, by name and by redirect."""
    text = Key.objects.create_key(name="hooks", scope=Scope.TRAIN)[1]
    headers = {"Authorization": f"Api-Key {text}"}
    with receiver() as inside, receiver() as redirecting:
        port = urlsplit(inside.url).port
        made = [_register(target, f"http://{host}:{port}/", headers) for host in PRIVATE_HOSTS]
        webhooks = Webhook.objects.filter(pk__in=[answer.json["id"] for answer in made if answer.status == 201])
        target.ask("POST", "/models/predict", {"symbols": ["HOOKED"]}, by=HOOK)
        tried = Delivery.objects.filter(webhook__in=webhooks).exclude(error="")
        told = lambda: tried.values("webhook").distinct().count() == webhooks.count()  # noqa: E731
        target.service.until("an attempt at each webhook", told, seconds=120)
        problems = [f"{answer.status}: {answer.body[:100]!r}" for answer in made if answer.status not in {201, 400}]
        problems += [f"{url} was called" for url in tried.exclude(status_code=None).values_list("webhook__url", flat=True)]
        webhooks.delete()
        return problems + (["the receiver was called"] if inside.got else []) + _redirect_problems(redirecting)


def _register(target: Target, url: str, headers: dict[str, str]) -> Answer:
    return target.ask("POST", "/models/webhooks", {"url": url, "events": [WebhookEvent.FORECAST_ISSUED]}, by=HOOK, headers=headers)


def _redirect_problems(redirecting: Receiver) -> list[str]:
    """A public receiver that redirects to itself. Without the internet only a private one can be asked, by the same function."""
    redirecting.statuses = [307]
    status = post(redirecting.url, b"{}", headers={}, allow_private=True)
    return [] if (status, len(redirecting.got)) == (307, 1) else ["a redirect was followed"]
