"""The admin's pages of django-q2's tables: they show text, and open no pickle."""

from collections.abc import Callable
from datetime import timedelta
from itertools import chain

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from django_q.models import Failure, OrmQ, Schedule, Success
from django_q.signing import SignedPackage
from django_q.tasks import async_task

from forecasting.models import TaskOutcome
from tests.admin_pages import add_task, page, text_of

pytestmark = pytest.mark.django_db

sprung: list[str] = []


class Trap:
    """An object that leaves a trace if it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[], "Trap"], tuple[()]]:
        return spring, ()


def spring() -> Trap:
    """The function that unpickling calls."""
    sprung.append("unpickled")
    return Trap()


def pages() -> list[str]:
    """Every page of these tables, with search, filters and orders."""
    models = {
        Success: "?q=one&func__exact=forecasting.background.tasks.daily_job&o=5",
        Failure: "?q=one&cluster__isnull=True&o=7",
        OrmQ: "?key=short&o=4",
        Schedule: "?o=6",
    }
    each = (
        [page(model, "changelist"), page(model, "changelist") + query]
        + [page(model, kind, row.pk) for row in model.objects.all() for kind in ("change", "history", "delete")]
        for model, query in models.items()
    )
    return list(chain.from_iterable(each))


def test_no_page_opens_a_pickle(admin_client: Client) -> None:
    for success in (True, False):
        task = add_task(success=success, args=Trap(), kwargs=Trap(), result=Trap())
        Schedule.objects.create(name="trap", func="builtins.print", args="__import__('os')", task=task.pk)
    signed = SignedPackage.dumps({"id": "1", "name": "trap", "func": Trap(), "args": Trap(), "kwargs": Trap()})
    OrmQ.objects.create(key="short", payload=signed, lock=timezone.now())
    addresses = pages()
    assert len(addresses) == 8 + 3 * 5
    sprung.clear()

    statuses = {admin_client.get(address).status_code for address in addresses}

    assert statuses == {200, 403}  # 403: nothing can be deleted
    assert sprung == []


def test_the_trap_springs_if_it_is_opened() -> None:
    add_task(success=True, result=Trap())
    sprung.clear()
    Success.objects.get()
    assert sprung == ["unpickled"]


def test_a_queued_task_that_somebody_forged_is_listed(admin_client: Client) -> None:
    OrmQ.objects.create(key="short", payload="gASVforged:signature", lock=timezone.now())
    assert "short" in text_of(admin_client, page(OrmQ, "changelist"))


@pytest.mark.parametrize(("seconds", "shown"), [(-60, "icon-no"), (600, "icon-yes")])
def test_a_queued_task_says_whether_a_cluster_has_it(admin_client: Client, seconds: int, shown: str) -> None:
    OrmQ.objects.create(key="short", payload="", lock=timezone.now() + timedelta(seconds=seconds))
    assert shown in text_of(admin_client, page(OrmQ, "changelist"))


def test_a_failed_tasks_message_is_shown(admin_client: Client) -> None:
    task = add_task(success=False, result="Boom : Traceback of the failure")
    assert "Boom : Traceback" in text_of(admin_client, page(Failure, "changelist"))
    assert "Traceback of the failure" in text_of(admin_client, page(Failure, "change", task.pk))


def test_a_task_of_an_earlier_release_is_shown_without_outcome(admin_client: Client) -> None:
    task = add_task(success=False, result="Boom")
    TaskOutcome.objects.all().delete()
    assert "Boom" not in text_of(admin_client, page(Failure, "change", task.pk))


@pytest.mark.parametrize(("result", "text"), [("done", "done"), (12, "12"), (None, ""), ("a\0b", "ab")])
def test_a_tasks_result_is_kept_as_text(result: object, text: str) -> None:
    assert TaskOutcome.objects.get(task=add_task(success=True, result=result)).text == text


def test_a_task_that_fails_twice_keeps_its_last_error() -> None:
    task = add_task(success=False, result="first")
    task.result = "second"
    task.save()
    assert TaskOutcome.objects.get().text == "second"


def test_the_outcome_of_a_task_that_the_queue_ran_is_kept() -> None:
    async_task("operator.add", 40, 2, sync=True)
    assert TaskOutcome.objects.get(task__success=True).text == "42"


def test_a_deleted_task_takes_its_outcome_with_it() -> None:
    add_task(success=True, result="done").delete()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM forecasting_taskoutcome")
        assert cursor.fetchone() == (0,)
