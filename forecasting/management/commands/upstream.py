"""`manage.py upstream`: shows whether requests to the price source are paused, why, and until when."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db.models import Count
from django.utils import timezone

from forecasting.models import Symbol, Upstream
from forecasting.models.symbols import UpstreamState
from forecasting.models.upstream import BreakerState
from forecasting.prices.catalogue import SOURCES


class Command(BaseCommand):
    """Sends no request to the source."""

    help = "Shows the state of the price source: available or paused, last success, last error, and end of the pause."

    def handle(self, *args: Any, **options: Any) -> None:
        """Prints the state."""
        upstream = Upstream.objects.filter(source=settings.PRICE_SOURCE).first()
        if not SOURCES[settings.PRICE_SOURCE].remote:
            self.stdout.write(f"Prices come from PRICE_SOURCE={settings.PRICE_SOURCE}, a local source that is never paused.")
        elif upstream is None:
            self.stdout.write(f"{settings.PRICE_SOURCE}: never asked yet")
        else:
            self._show(upstream)
        for row in Symbol.objects.order_by("upstream_state").values("upstream_state").annotate(symbols=Count("pk")):
            self.stdout.write(f"  symbols {UpstreamState(row['upstream_state']).label}: {row['symbols']}")

    def _show(self, upstream: Upstream) -> None:
        self.stdout.write(f"{upstream.source}: {BreakerState(upstream.state).label}")
        lines = {
            "until": _moment(upstream.open_until),
            "since": _moment(upstream.opened_at),
            "reason": upstream.reason,
            "last success": _moment(upstream.last_success_at) or "never",
            "failures in a row": str(upstream.failures),
            "limit": f"{settings.UPSTREAM_REQUESTS_PER_MINUTE} requests a minute, {settings.UPSTREAM_IN_FLIGHT} at the same time",
        }
        for name, value in lines.items():
            if value:
                self.stdout.write(f"  {name}: {value}")


def _moment(moment: datetime | None) -> str:
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M:%S %Z}" if moment else ""
