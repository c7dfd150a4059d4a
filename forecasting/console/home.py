"""The admin's home: seven panels, of which everybody sees those whose tables they may see."""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache

from django.contrib.auth.models import AbstractUser, AnonymousUser
from django.utils import timezone

from forecasting.console import attention, status
from forecasting.console.actions import Action, recent_actions
from forecasting.console.attention import Concern
from forecasting.console.calibration import KINDS, Calibration, calibration, chosen
from forecasting.console.last_session import Session, last_sessions
from forecasting.console.prices import Freshness, freshness
from forecasting.console.retrainings import Retrainings, next_retrainings
from forecasting.console.status import Light
from forecasting.console.trainings import Activity, Trainings, activity, trainings
from forecasting.models.forecasts import Basis
from forecasting.models.overall import Newest, newest_score
from forecasting.readiness import Part, State
from forecasting.training.workers import CLUSTERS, absence

TABLES = ("symbol", "modelversion", "forecast", "training", "jobrun", "workerprocess", "upstream", "finding")
CONCERNED = {"symbol", "modelversion", "training", "finding"}
TROUBLES = {State.FAILED: "Wrong", State.WARNING: "To look at", State.UNKNOWN: "Not known yet"}  # the worst first


@dataclass(frozen=True, slots=True)
class Home:
    """The panels in their order; None or empty is a panel that the user may not see."""

    lights: Sequence[Light]
    concerns: Sequence[Concern] | None
    sessions: Sequence[Session] | None
    calibration: Calibration | None
    trainings: Trainings | None
    retrainings: Retrainings | None
    actions: Sequence[Action] | None

    @property
    def verdict(self) -> Part:
        """Whether everything is well, by the lights and concerns that the user may see."""
        named = {state: [light.name for light in self.lights if light.part.status == state] for state in TROUBLES}
        told = [f"{word}: {', '.join(named[state])}." for state, word in TROUBLES.items() if named[state]]
        if self.concerns:
            told.append(f"Needs attention: {', '.join(f'{each.title.lower()} ({each.count:,})' for each in self.concerns)}.")
        worst = next((state for state in TROUBLES if named[state]), State.OK)
        if worst in {State.OK, State.UNKNOWN} and self.concerns:
            worst = State.WARNING
        return Part(worst, " ".join(told) or "All is well.")

    @property
    def is_busy(self) -> bool:
        """Whether something runs or waits, so that the page will soon be different."""
        return bool(self.trainings and self.trainings.active)


@dataclass(frozen=True, slots=True)
class _Shared:
    """What several panels need, read once; None if the user may not see it."""

    sees: Set[str]  # names of tables
    absent: str  # since when no worker runs
    lately: Activity | None
    prices: Freshness | None
    newest: Newest


def home(user: AbstractUser | AnonymousUser, query: Mapping[str, str], *, now: datetime) -> Home:
    """The page for this user; `query` may choose basis and horizon of the calibration.

    The number of queries does not depend on the number of symbols.
    """
    sees = {name for name in TABLES if may_view(user, f"forecasting.{{}}_{name}")}
    shared = _Shared(
        sees=sees,
        absent=absence(*CLUSTERS) if sees & {"workerprocess", "training"} else "",
        lately=activity() if "training" in sees else None,
        prices=freshness(now=now) if "symbol" in sees else None,
        newest=newest_score() if sees & {"symbol", "forecast"} else None,
    )
    today = timezone.localdate(now)
    return Home(
        lights=list(_lights(shared, now=now, today=today)),
        concerns=[concern for concern in _concerns(shared) if concern.count] if sees & CONCERNED else None,
        sessions=_last_sessions(shared.newest) if "forecast" in sees else None,
        calibration=_calibration(shared.newest, *chosen(query)) if "forecast" in sees else None,
        trainings=trainings(shared.lately, absent=shared.absent, today=today) if shared.lately else None,
        retrainings=next_retrainings(now=now) if "modelversion" in sees else None,
        actions=recent_actions(with_trainings="training" in sees) if may_view(user, "admin.{}_logentry") else None,
    )


@lru_cache(maxsize=1)
def _last_sessions(newest: Newest) -> list[Session]:
    """Read once for each `newest` score: this and the next one read a part of all scores."""
    return last_sessions()


@lru_cache(maxsize=len(KINDS))
def _calibration(newest: Newest, basis: Basis, horizon: int) -> Calibration:
    return calibration(basis, horizon)


def _lights(shared: _Shared, *, now: datetime, today: date) -> Iterator[Light]:
    if "jobrun" in shared.sees:
        yield status.daily_job(today=today)
    if "workerprocess" in shared.sees:
        yield status.workers(shared.absent)
    if shared.lately:
        yield status.queue(shared.lately, absent=shared.absent, now=now)
    if "upstream" in shared.sees:
        yield status.price_source()
    if shared.prices:
        yield status.bars(shared.prices)
    if "modelversion" in shared.sees:
        yield status.base(today=today)


def _concerns(shared: _Shared) -> Iterator[Concern]:
    """The worst first."""
    yield from attention.listed(shared.sees)
    if "symbol" in shared.sees:
        yield from attention.off_records(shared.newest)
    if shared.prices:
        yield attention.without_prices(shared.prices)


def may_view(user: AbstractUser | AnonymousUser, permission: str) -> bool:
    """Like Django's admin: whoever may change rows may see them."""
    return any(user.has_perm(permission.format(verb)) for verb in ("view", "change"))
