"""Keeps a preview picture of each followed symbol's newest forecast."""

import logging
import time
from pathlib import Path

from django.conf import settings

from forecasting.background.picture import draw
from forecasting.models import Forecast, Symbol
from forecasting.models.locks import Lock, lock_if_free
from forecasting.pages import previews
from forecasting.pages.cards import CLOSES
from forecasting.prices.catalogue import is_simulated

BATCH = 50  # forecasts that are read together
FILE_MODE, FOLDER_MODE = 0o640, 0o750

logger = logging.getLogger(__name__)


def draw_due(*, seconds: float) -> int:
    """Draws the missing pictures for about `seconds`, and removes those that are no longer wanted; returns how many it drew.

    Each symbol has one picture; it keeps an old one until the new one is there. A symbol that is no longer followed has none. One
    process draws at a time.
    """
    if not settings.PUBLIC_PAGES:
        return 0
    with lock_if_free(Lock.PREVIEWS) as mine:
        try:
            return _draw_due(ends=time.monotonic() + seconds) if mine else 0
        except OSError as error:
            logger.warning("preview pictures cannot be written below %s: %s", previews.folder(), error.strerror)
            return 0


def _draw_due(*, ends: float) -> int:
    newest = Forecast.objects.newest_of(Symbol.objects.followed()).order_by("-as_of", "pk")
    wanted = {previews.name(symbol, forecast): forecast for symbol, forecast in newest.values_list("symbol_id", "pk")}
    folder = _folder()
    present = {entry.name for entry in folder.iterdir()}
    missing = [forecast for name, forecast in wanted.items() if name not in present]
    drawn = 0
    for start in range(0, len(missing), BATCH):
        if time.monotonic() > ends:
            break
        drawn += sum(_draw(each) for each in _forecasts(missing[start : start + BATCH]))
    _remove_old(present - {*wanted}, waiting={_owner(name) for name in wanted if not (folder / name).exists()})
    return drawn


def _folder() -> Path:
    """The folder; the group may read it under any umask, because the web server may run as another user."""
    folder = previews.folder()
    if not folder.exists():
        folder.mkdir(parents=True)
        folder.chmod(FOLDER_MODE)
    return folder


def _forecasts(keys: list[int]) -> list[Forecast]:
    return list(Forecast.objects.filter(pk__in=keys).with_closes(CLOSES).select_related("symbol", "version"))


def _draw(forecast: Forecast) -> bool:
    """Writes one picture, whole or not at all. A symbol that lost its bars has none."""
    if not forecast.closes:
        return False
    picture = draw(forecast, forecast.closes, simulated=bool(forecast.simulated) or is_simulated(settings.PRICE_SOURCE))
    path = previews.folder() / previews.name(forecast.symbol_id, forecast.pk)
    scratch = path.with_suffix(".incoming")
    scratch.write_bytes(picture)
    scratch.chmod(FILE_MODE)
    scratch.replace(path)
    return True


def _remove_old(names: set[str], *, waiting: set[str]) -> None:
    """Removes pictures, except those of symbols that wait for a new one."""
    for name in names:
        if _owner(name) not in waiting:
            (previews.folder() / name).unlink(missing_ok=True)


def _owner(name: str) -> str:
    """The symbol's key, as text."""
    return name.partition("-")[0]
