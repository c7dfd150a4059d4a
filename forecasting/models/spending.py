"""What callers have used of their budgets. See `forecasting/callers/budgets.py`, whose statement writes these rows."""

from django.db import models


class Spending(models.Model):
    """One caller's use of one budget in the current period. The table is unlogged: a crash of Postgres empties it."""

    pk = models.CompositePrimaryKey("caller", "budget")
    caller = models.CharField(max_length=80)
    budget = models.CharField(max_length=20)
    used = models.PositiveIntegerField()
    granted = models.PositiveIntegerField(help_text="Units that the last statement got.")
    ends_at = models.DateTimeField(help_text="End of the period; then the budget is full again.")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.caller}: {self.used} {self.budget}"
