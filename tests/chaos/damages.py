"""Faults of stored files: model files that are missing, truncated, or differ by one bit."""

import http.client
from pathlib import Path

from forecasting.models import ModelVersion, Training
from forecasting.models.trainings import TrainingReason
from forecasting.models.versions import FilesState, VersionState
from forecasting.runtime.processes import wait_for
from tests.chaos.site import TICKERS, Site, media

SERVED_SECONDS = 5.0


def damaged_artifact(site: Site, count: int) -> None:
    """Case 13: a file of the active version is deleted, truncated or has one bit flipped; the previous version serves at once."""
    tickers = list(TICKERS[:count])
    with site.worker():
        for _ in range(2):
            site.request(tickers)
            site.settle()
    for ticker in tickers:  # the case needs two usable versions, whatever the promotion test decided
        ModelVersion.objects.filter(symbol__ticker=ticker, state=VersionState.REJECTED).update(state=VersionState.RETIRED)
    with site.web() as web:
        for number, ticker in enumerate(tickers):
            active = ModelVersion.objects.active().get(symbol__ticker=ticker)
            other = ModelVersion.objects.get(symbol__ticker=ticker, state=VersionState.RETIRED)
            _damage(media() / active.folder / ("model.onnx", "meta.json")[number // 3 % 2], how=number % 3)

            def serves(symbol: str = ticker, expected: int = other.number) -> bool:
                status, _, answer = web.ask("POST", "/models/predict", symbols=[symbol])
                model = answer["predictions"][symbol].get("model", {}) if status == http.client.OK else {}
                return bool((model.get("kind"), model.get("version")) == ("symbol", expected))

            site.within(SERVED_SECONDS, "the previous version serves", serves)
            active.refresh_from_db()
            site.expect(active.files_state == FilesState.DAMAGED, f"{ticker}: the damage was not recorded: {active.decision}")
            site.expect(
                Training.objects.filter(symbol__ticker=ticker, reason=TrainingReason.FILES_DAMAGED).exists(),
                f"{ticker}: no retraining was requested",
            )
    with site.worker("later"):
        site.expect(wait_for(lambda: not Training.objects.active().exists(), seconds=240), "a retraining has not ended")


def _damage(file: Path, *, how: int) -> None:
    content = bytearray(file.read_bytes())
    if how == 0:
        file.unlink()
    elif how == 1:
        file.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
