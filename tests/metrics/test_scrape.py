"""`/metrics`: who may read it, what it has, and what reads it: the alert rules and the dashboard in deploy/."""

import json
import os
import re
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings

from forecasting import summary
from forecasting.metrics import counters
from forecasting.models import JobRun
from forecasting.models.jobs import JobState
from forecasting.models.trainings import TrainingState
from forecasting.prices.calendars import sessions
from tests.factories import (
    add_bars,
    make_forecast,
    make_score,
    make_symbol,
    make_training,
    make_upstream,
    make_version,
    make_worker,
)

pytestmark = pytest.mark.django_db

KEY = "a key of this test alone"
DEPLOY = Path(django_settings.BASE_DIR) / "deploy"
PROMTOOL = shutil.which("promtool")
REQUIRED = os.environ.get("REQUIRE_DEPLOYMENT_TOOLS") == "1"
needs_promtool = pytest.mark.skipif(not (PROMTOOL or REQUIRED), reason="promtool is not installed")


@pytest.fixture(autouse=True)
def _allowed(settings: Settings) -> None:
    settings.METRICS_KEY = KEY


def scrape(client: Client) -> str:
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {KEY}"})
    assert answer.status_code == 200
    return answer.content.decode()


def values(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """The samples by name and labels."""
    families = text_string_to_metric_families(text)
    return {(each.name, frozenset(each.labels.items())): each.value for family in families for each in family.samples}


def value(text: str, name: str, **labels: str) -> float:
    return values(text)[f"stockpred_{name}", frozenset(labels.items())]


def fill(count: int = 1) -> None:
    """Rows of every kind, of so many symbols."""
    days = [day.date() for day in sessions("XNYS", first=timezone.localdate() - timedelta(days=60), last=timezone.localdate())]
    for place in range(count):
        symbol = make_symbol(f"SAMPLE{place}", exchange="XNYS")
        add_bars(symbol, end=days[-1])
        version = make_version(symbol)
        make_training(symbol)
        make_training(symbol, state=TrainingState.SUCCEEDED)
        for as_of in days[:3]:
            make_score(make_forecast(version, as_of), 100.0, pinball_loss=0.01, reference_pinball_loss=0.01)
    JobRun.objects.get_or_create(job="daily", date=days[-1], defaults={"state": JobState.SUCCEEDED, "finished_at": timezone.now()})
    make_worker()
    summary.refresh()


def queries(client: Client) -> int:
    with CaptureQueriesContext(connection) as captured:
        scrape(client)
    return len(captured)


# Who may read it


def test_without_a_key_there_is_no_such_page(client: Client, settings: Settings) -> None:
    settings.METRICS_KEY = ""
    assert client.get("/metrics").status_code == 404


def test_a_developer_needs_no_key(client: Client, settings: Settings) -> None:
    settings.METRICS_KEY, settings.DEBUG = "", True
    assert client.get("/metrics").status_code == 200


@pytest.mark.parametrize("sent", ["", "Bearer", "Bearer wrong", f"Basic {KEY}", "Bearer \xe9"])
def test_a_wrong_key_is_refused(client: Client, sent: str) -> None:
    answer = client.get("/metrics", headers={"Authorization": sent})
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Bearer")


# What it has


def test_requests_are_counted_by_route_and_status(client: Client) -> None:
    labels = {"method": "GET", "route": "health/live", "status": "200"}
    client.get("/health/live")
    before = value(scrape(client), "http_requests_total", **labels)
    client.get("/health/live")
    after = scrape(client)
    assert value(after, "http_requests_total", **labels) == before + 1
    assert value(after, "http_request_duration_seconds_count", method="GET", route="health/live") == before + 1


@pytest.mark.parametrize(
    ("method", "path", "counted"), [("BREW", "/no/page", "other unmatched"), ("GET", "/admin/x/", "GET admin/")]
)
def test_nobody_can_add_labels(client: Client, method: str, path: str, counted: str) -> None:
    client.generic(method, path)
    found = {labels for name, labels in values(scrape(client)) if name == "stockpred_http_requests_total"}
    assert counted in {" ".join(dict(labels)[name] for name in ("method", "route")) for labels in found}


def test_the_queue_by_reason(client: Client) -> None:
    make_training(make_symbol(), created_at=timezone.now() - timedelta(seconds=90))
    text = scrape(client)
    assert value(text, "trainings_waiting", reason="requested") == 1
    assert value(text, "trainings_waiting", reason="too_old") == 0
    assert 90 <= value(text, "trainings_oldest_wait_seconds", reason="requested") < 150


def test_ended_trainings_by_result_and_duration(client: Client) -> None:
    now = timezone.now()
    for seconds in (1.5, 4, 4000):
        symbol = make_symbol(f"SAMPLE{int(seconds)}")
        make_training(symbol, state=TrainingState.SUCCEEDED, started_at=now - timedelta(seconds=seconds), finished_at=now)
    make_training(make_symbol("FAILED"), state=TrainingState.FAILED, started_at=None)
    text = scrape(client)
    assert [value(text, "trainings_total", result=each) for each in ("succeeded", "failed", "cancelled")] == [3, 1, 0]
    buckets = [
        value(text, "training_duration_seconds_bucket", result="succeeded", le=le) for le in ("1.0", "2.0", "5.0", "600.0", "+Inf")
    ]
    assert buckets == [0, 1, 2, 2, 3]
    assert value(text, "training_duration_seconds_sum", result="succeeded") == pytest.approx(4005.5)
    assert value(text, "training_duration_seconds_count", result="failed") == 0


def test_the_ledger_by_basis_and_exchange(client: Client) -> None:
    fill(2)
    text = scrape(client)
    assert [value(text, f"forecasts_{each}_total", basis="close") for each in ("issued", "scored")] == [6, 6]
    assert value(text, "forecasts_issued_total", basis="live") == 0
    assert value(text, "scored_sessions", exchange="XNYS", sessions="20") == 3
    assert (value(text, "symbols", exchange="XNYS"), value(text, "symbols_behind", exchange="XNYS")) == (2, 0)


def test_a_worker_that_has_never_run_can_be_missed(client: Client) -> None:
    assert [value(scrape(client), "worker_seen_timestamp_seconds", cluster=each) for each in ("short", "training")] == [0, 0]


def test_the_price_source(client: Client, settings: Settings) -> None:
    settings.PRICE_SOURCE = "yahoo"
    make_upstream(requests=7, failed_requests=2)
    text = scrape(client)
    assert value(text, "price_source_requests_total", source="yahoo") == 7
    assert value(text, "price_source_failed_requests_total", source="yahoo") == 2
    assert value(text, "price_source_paused", source="yahoo") == 0


def test_a_scrape_asks_as_many_queries_for_many_symbols_as_for_few(client: Client) -> None:
    fill(1)
    few = queries(client)
    for place in range(10, 15):
        make_training(make_symbol(f"SAMPLE{place}"))
    summary.refresh()
    assert queries(client) == few <= 9


def test_no_label_names_a_symbol(client: Client) -> None:
    fill(2)
    assert "SAMPLE" not in scrape(client)


# What reads it


def named(text: str) -> set[str]:
    return set(re.findall(r"\bstockpred_[a-z_]+", text))


@pytest.mark.parametrize("file", ["prometheus/alerts.yml", "grafana/dashboard.json"])
def test_rules_and_dashboard_name_metrics_that_exist(client: Client, settings: Settings, file: str) -> None:
    settings.PRICE_SOURCE = "yahoo"
    make_upstream(last_success_at=timezone.now())
    fill()
    client.get("/health/live")
    exist = {name for name, _ in values(scrape(client))}
    assert named((DEPLOY / file).read_text()) - exist == set()


def test_the_dashboard_shows_every_metric(client: Client) -> None:
    fill()
    shown = named((DEPLOY / "grafana/dashboard.json").read_text()) | {
        "stockpred_database_up",
        "stockpred_figures_timestamp_seconds",
    }
    families = {family.name for family in text_string_to_metric_families(scrape(client)) if family.samples}
    assert {name for name in families if not any(each.startswith(name) for each in shown)} <= {"stockpred_scored_sessions"}


def test_the_dashboard_is_one_that_grafana_reads() -> None:
    board = json.loads((DEPLOY / "grafana/dashboard.json").read_text())
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert all(target["expr"] for panel in board["panels"] for target in panel["targets"])


@needs_promtool
def test_promtool_accepts_the_rules() -> None:
    subprocess.run([str(PROMTOOL), "check", "rules", str(DEPLOY / "prometheus/alerts.yml")], check=True, capture_output=True)


@needs_promtool
def test_promtool_finds_no_fault_in_a_scrape(client: Client) -> None:
    fill()
    done = subprocess.run([str(PROMTOOL), "check", "metrics"], input=scrape(client), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_disk_that_cannot_be_read_hides_no_other_figure(client: Client, settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path / (300 * "x")
    disks = {labels for name, labels in values(scrape(client)) if name == "stockpred_disk_free_bytes"}
    assert "media_root" not in str(disks)
    assert "log_dir" in str(disks)


@needs_promtool
@pytest.mark.parametrize(("failed", "alerts"), [("117x60 110x30", 0), ("117x60 118x30", 1), ("117x60 110x10 111x20", 1)])
def test_the_rule_for_failed_trainings_outlives_symbols_that_are_forgotten(tmp_path: Path, failed: str, alerts: int) -> None:
    told = {"summary": "1 trainings have failed for good within an hour."}
    expected = [{"exp_labels": {"severity": "warning"}, "exp_annotations": told}]
    test = {
        "interval": "1m",
        "input_series": [{"series": 'stockpred_trainings_total{result="failed"}', "values": failed}],
        "alert_rule_test": [{"eval_time": "80m", "alertname": "StockpredTrainingsFail", "exp_alerts": expected[:alerts]}],
    }
    file = tmp_path / "test.yml"
    file.write_text(json.dumps({"rule_files": [str(DEPLOY / "prometheus/alerts.yml")], "tests": [test]}))
    done = subprocess.run([str(PROMTOOL), "test", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_counters_lie_in_a_private_folder(client: Client) -> None:
    scrape(client)
    assert counters.folder().stat().st_mode & 0o777 == 0o700
