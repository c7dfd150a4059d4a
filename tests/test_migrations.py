"""Migrations match the models, and are reversible without leftovers."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from forecasting.models import Forecast, ModelVersion, Score, Symbol
from forecasting.models.scores import ScoreReason
from tests.factories import (
    METRICS,
    add_bars,
    make_finding,
    make_forecast,
    make_restatement,
    make_score,
    make_symbol,
    make_version,
)

APP = "forecasting"
SCHEMA = """
    SELECT table_name || '.' || column_name, data_type || is_nullable || coalesce(column_default, '')
    FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL SELECT conrelid::regclass || ' ' || conname, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
"""


def schema() -> set[tuple[str, str]]:
    """Every column, constraint, index, trigger and function, with its definition."""
    with connection.cursor() as cursor:
        cursor.execute(SCHEMA)
        return set(cursor.fetchall())


class StepByStep(MigrationLoader):
    """The migrations that existing databases went through, without the squashed one that stands for them in a new database."""

    def load_disk(self) -> None:
        """As Django's, less every migration that replaces others."""
        super().load_disk()
        self.disk_migrations = {key: migration for key, migration in self.disk_migrations.items() if not migration.replaces}


def steps() -> list[str]:
    """The names of all steps, oldest first."""
    return sorted(name for app, name in StepByStep(None).disk_migrations if app == APP)


def migrate_to(target: str | None) -> None:
    """Goes step by step, forwards or backwards, to the step whose number this is; None is before the first."""
    executor = MigrationExecutor(connection)
    executor.loader = StepByStep(connection)
    executor.migrate([(APP, target and next(name for name in steps() if name.startswith(target)))])


@pytest.fixture
def migrated_back(transactional_db: None) -> Iterator[None]:
    """Restores all tables after the test."""
    yield
    call_command("migrate", verbosity=0)


@pytest.mark.django_db
def test_the_models_have_no_change_that_lacks_a_migration() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


@pytest.mark.usefixtures("migrated_back")
def test_every_migration_reverses_and_applies_again() -> None:
    newest_first = [*reversed(steps()), None]
    before = {}
    for target in newest_first:
        migrate_to(target)
        before[target] = schema()
    assert not [name for name, _ in before[None] if "forecasting_" in name or name.startswith("cache")]
    for target in reversed(newest_first):
        migrate_to(target)
        assert schema() == before[target]


@pytest.mark.usefixtures("migrated_back")
def test_the_squashed_migration_makes_what_the_steps_make() -> None:
    call_command("migrate", APP, "zero", verbosity=0)
    assert not [name for name, _ in schema() if "forecasting_" in name or name.startswith("cache")]
    call_command("migrate", APP, verbosity=0)
    squashed = schema()
    migrate_to(None)
    for name in steps():
        migrate_to(name)
    assert schema() == squashed


@pytest.mark.usefixtures("migrated_back")
def test_a_database_that_went_through_the_steps_has_nothing_to_apply() -> None:
    migrate_to(None)
    migrate_to(steps()[-1])
    MigrationRecorder(connection).migration_qs.filter(app=APP, name__contains="squashed").delete()
    forecast = make_forecast(make_version(make_symbol()), date(2025, 6, 2), actual_close=102.5)
    call_command("migrate", check_unapplied=True, verbosity=0)  # exits with an error if it has anything to do
    call_command("migrate", verbosity=0)
    assert Forecast.objects.get() == forecast
    assert Score.objects.get().forecast == forecast


@pytest.mark.usefixtures("migrated_back")
def test_the_ledger_is_append_only_from_its_own_migration_on() -> None:
    forecast = make_forecast(make_version(make_symbol()), date(2025, 6, 2))
    migrate_to("0001")
    assert Forecast.objects.filter(pk=forecast.pk).update(price=1.0) == 1


@pytest.mark.usefixtures("migrated_back")
def test_scores_of_an_earlier_release_are_moved_and_moved_back() -> None:
    version = make_version(symbol := make_symbol())
    known = make_restatement(symbol, restated_at=timezone.now() - timedelta(days=1))
    scored = make_forecast(version, date(2025, 6, 2), actual_close=102.5)
    scored.scores.update(latest=False)
    corrected = make_score(scored, 103.5, reason=ScoreReason.CORRECTED)
    make_forecast(version, date(2025, 6, 3))
    make_restatement(symbol, restated_at=timezone.now() + timedelta(days=1))
    migrate_to("0010")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT actual_close, absolute_error, naive_absolute_error, inside_interval FROM forecasting_forecast ORDER BY id"
        )
        assert cursor.fetchall() == [(103.5, 2.5, 3.5, False), (None, None, None, None)]
    migrate_to("0012")
    columns = ("forecast_id", "reason", "actual_date", "actual_close", "scored_at", "latest")
    expected = (scored.pk, ScoreReason.FIRST, scored.target_date, 103.5, corrected.scored_at, True)
    assert Score.objects.values_list(*columns).get() == expected
    assert list(Forecast.objects.order_by("pk").values_list("restatement", flat=True)) == [known.pk, known.pk]


@pytest.mark.usefixtures("migrated_back")
def test_versions_of_an_earlier_release_know_the_restatements_before_them() -> None:
    symbol = make_symbol()
    before = make_restatement(symbol, restated_at=datetime(2025, 6, 1, tzinfo=UTC))
    version = make_version(symbol, trained_at=datetime(2025, 6, 2, tzinfo=UTC))
    make_restatement(symbol, restated_at=datetime(2025, 6, 3, tzinfo=UTC))
    migrate_to("0008")
    migrate_to("0010")
    version.refresh_from_db(fields=["restatement"])
    assert version.restatement_id == before.pk


@pytest.mark.usefixtures("migrated_back")
def test_symbols_without_bars_lose_the_exchange_that_an_earlier_release_guessed() -> None:
    make_symbol("NOPE", upstream_state="unknown")
    known = make_symbol("SAMPLE1")
    add_bars(known, count=1)
    migrate_to("0010")
    migrate_to("0011")
    found = Symbol.objects.order_by("pk").values_list("exchange", "currency")
    assert list(found) == [(None, ""), (known.exchange, known.currency)]


@pytest.mark.usefixtures("migrated_back")
def test_versions_of_an_earlier_release_lose_the_figures_that_their_last_close_made_constants() -> None:
    at_last_close = make_version(make_symbol("SAMPLE1"), metrics=METRICS | {"mase": 1.0, "beats_naive_p": 0.5})
    other = make_version(make_symbol("SAMPLE2"), metrics=METRICS)
    migrate_to("0010")
    at_last_close.refresh_from_db(fields=["metrics"])
    assert at_last_close.metrics["beats_naive_p"] == at_last_close.metrics["directional_accuracy"] == 0.5
    migrate_to("0013")
    at_last_close.refresh_from_db(fields=["metrics"])
    assert at_last_close.metrics["beats_naive_p"] is at_last_close.metrics["directional_accuracy"] is None
    other.refresh_from_db(fields=["metrics"])
    assert other.metrics == METRICS


@pytest.mark.usefixtures("migrated_back")
def test_a_shipped_base_of_an_earlier_release_is_as_old_as_its_training() -> None:
    told = {"decision": "Ships with the service: trained on 56 symbols.", "data_end": date(2024, 12, 31)}
    shipped, own = make_version(None, number=1, state="retired", **told), make_version(None, number=2)
    migrate_to("0010")
    migrate_to("0013")
    installed = own.trained_at
    for version in (shipped, own):
        version.refresh_from_db(fields=["trained_at"])
    assert (shipped.trained_at, own.trained_at) == (datetime(2026, 11, 25, 3, 11, tzinfo=UTC), installed)


@pytest.mark.usefixtures("migrated_back")
def test_a_version_that_is_still_a_candidate_is_retired() -> None:
    version = make_version(make_symbol())
    migrate_to("0015_bars")
    ModelVersion.objects.filter(pk=version.pk).update(state="candidate")
    migrate_to("0016")
    version.refresh_from_db(fields=["state"])
    assert version.state == "retired"


@pytest.mark.usefixtures("migrated_back")
def test_findings_of_an_earlier_release_get_values_without_blanks() -> None:
    finding = make_finding(make_symbol(), rule="phantom_holiday", verdict="left_out")
    migrate_to("0017")
    finding.refresh_from_db()
    assert (finding.rule, finding.verdict) == ("phantom holiday", "left out")
    migrate_to("0023_findings")
    finding.refresh_from_db()
    assert (finding.rule, finding.verdict) == ("phantom_holiday", "left_out")
