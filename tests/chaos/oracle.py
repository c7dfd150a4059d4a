"""Checks invariants while a fault is tried, and afterwards reports what was lost, duplicated or left behind."""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import InterfaceError, OperationalError, connection

from forecasting import registry
from forecasting.models import ModelVersion, Training
from forecasting.models.trainings import ACTIVE_STATES, TrainingState
from tests.chaos.site import Site, media
from tests.running import process_ids

SAMPLE_SECONDS = 0.05

DOUBLES = """
    SELECT
        (SELECT count(*) FROM (
            SELECT FROM forecasting_training WHERE state IN ('queued', 'running') GROUP BY symbol_id HAVING count(*) > 1
        ) AS twice),
        (SELECT count(*) FROM (
            SELECT FROM forecasting_modelversion WHERE state = 'active' GROUP BY symbol_id HAVING count(*) > 1
        ) AS twice)
"""

# The database itself records every end of a training.
WITNESS = """
    CREATE TABLE witness (training_id bigint NOT NULL, state text NOT NULL);
    CREATE FUNCTION testify() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF OLD.state NOT IN ('queued', 'running') THEN
            INSERT INTO witness VALUES (NEW.id, 'changed after its end');
        ELSIF NEW.state NOT IN ('queued', 'running') THEN
            INSERT INTO witness VALUES (NEW.id, NEW.state);
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER witness AFTER UPDATE ON forecasting_training FOR EACH ROW EXECUTE FUNCTION testify();
"""


@contextmanager
def watching(site: Site) -> Iterator[None]:
    """Samples invariants during the block; afterwards, with the service stopped, checks all rows, files and processes."""
    with connection.cursor() as cursor:
        cursor.execute(WITNESS)
    stop = threading.Event()
    samples: list[tuple[int, int]] = []
    sampler = threading.Thread(target=_sample, args=[stop, samples])
    began = time.monotonic()
    sampler.start()
    try:
        yield
    finally:
        stop.set()
        sampler.join()
    site.samples, site.watched_s = len(samples), round(time.monotonic() - began, 1)
    if any(map(any, samples)):
        site.problems.append("a symbol had two active trainings or versions")
    site.problems.extend(_findings(site))


def _sample(stop: threading.Event, samples: list[tuple[int, int]]) -> None:
    due = time.monotonic()
    while not stop.wait(max(0.0, due - time.monotonic())):
        due = max(due + SAMPLE_SECONDS, time.monotonic())
        try:
            with connection.cursor() as cursor:
                cursor.execute(DOUBLES)
                samples.append(cursor.fetchone())
        except (OperationalError, InterfaceError):
            connection.close()  # the outage may be the fault under test
    connection.close()


def _findings(site: Site) -> Iterator[str]:
    yield from _ends(site)
    yield from versions()
    yield from files(site.content)
    if left := process_ids(site.folder):
        yield f"processes are left: {left}"


def _ends(site: Site) -> Iterator[str]:
    """Every accepted training ended exactly once, or is still queued."""
    rows = {training.pk: training for training in Training.objects.all()}
    with connection.cursor() as cursor:
        cursor.execute("SELECT training_id, array_agg(state) FROM witness GROUP BY training_id")
        ends = dict(cursor.fetchall())
    if lost := site.accepted - set(rows):
        yield f"{len(lost)} accepted trainings are gone"
    for key, training in rows.items():
        expected = [] if training.state in ACTIVE_STATES else [training.state]
        if ends.get(key, []) != expected:
            yield f"training {key} is {training.state} and ended as {ends.get(key)}"
        if training.state == TrainingState.RUNNING:
            yield f"training {key} is still running without a trainer"


def versions() -> Iterator[str]:
    """Every successful training has exactly one version; only the shipped base has a version without a training."""
    successful = set(Training.objects.filter(state=TrainingState.SUCCEEDED).values_list("pk", flat=True))
    published = list(ModelVersion.objects.exclude(symbol=None, training=None).values_list("training_id", flat=True))
    if sorted(map(str, published)) != sorted(map(str, successful)):
        yield f"{len(successful)} trainings succeeded, {len(published)} versions were published"
    symbols = set(Training.objects.filter(pk__in=successful).values_list("symbol_id", flat=True))
    if not symbols <= set(ModelVersion.objects.active().values_list("symbol_id", flat=True)):
        yield "not every trained symbol has an active version"


def files(content: Callable[[str], bytes | None]) -> Iterator[str]:
    """The files of active versions are intact, and a sweep of day-old folders leaves no orphan."""
    for version in ModelVersion.objects.active():
        for name, file in version.artifact_files.items():
            found = content(f"{file.folder or version.folder}/{name}")
            if found is None or hashlib.sha256(found).hexdigest() != file.sha256:
                yield f"{name} of the active version {version.pk} is missing or damaged"
    folders = list(media().iterdir()) if media().exists() else []
    for folder in folders:
        day_ago = time.time() - registry.UNPUBLISHED_SECONDS - 60
        os.utime(folder, (day_ago, day_ago))
    registry.sweep()
    left = {folder.name for folder in folders if folder.exists()}
    if orphans := left - set(ModelVersion.objects.values_list("folder", flat=True)):
        yield f"the sweep leaves orphaned folders: {sorted(orphans)}"
