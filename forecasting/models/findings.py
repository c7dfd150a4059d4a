"""Findings of the quality gate: prices that it repaired, left out, refused or only noted."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from forecasting.models.symbols import Symbol
from forecasting.prices.findings import Rule, Verdict

RULES = [(rule.value, rule.label) for rule in Rule]
BY_WEIGHT = (Verdict.REFUSED, Verdict.LEFT_OUT, Verdict.REPAIRED, Verdict.NOTED)
VERDICTS = [(verdict.value, verdict.label) for verdict in Verdict]


class FindingQuerySet(models.QuerySet["Finding"]):
    """Reads of findings."""

    def of(self, symbol: Symbol) -> "FindingQuerySet":
        """One symbol's findings."""
        return self.filter(symbol=symbol)

    def refused(self) -> "FindingQuerySet":
        """Findings that keep the newest prices out."""
        return self.filter(verdict=Verdict.REFUSED.value)

    def worst_first(self) -> "FindingQuerySet":
        """Refused, then left out, then repaired, then noted; the latest session first."""
        places = [models.When(verdict=verdict.value, then=place) for place, verdict in enumerate(BY_WEIGHT)]
        return self.order_by(models.Case(*places), models.F("date").desc(nulls_last=True), "rule")


class Finding(models.Model):
    """One finding of the last check that covered its session. Refusals are kept until a check passes."""

    symbol = models.ForeignKey(Symbol, on_delete=models.CASCADE, related_name="findings")
    rule = models.CharField(max_length=16, choices=RULES)
    verdict = models.CharField(max_length=8, choices=VERDICTS)
    date = models.DateField(null=True, blank=True, help_text="The session; empty if the finding concerns all bars.")
    value = models.FloatField(null=True, blank=True, help_text="The value found: a price, a volume, a share or a number of bars.")
    text = models.TextField()
    found_at = models.DateTimeField(db_default=Now())

    objects = FindingQuerySet.as_manager()

    class Meta:
        default_permissions = ("view",)
        ordering = ["-found_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["symbol", "rule", "verdict", "date"], nulls_distinct=False, name="finding_one_per_rule_and_session"
            ),
            models.CheckConstraint(condition=Q(rule__in=[rule.value for rule in Rule]), name="finding_rule_known"),
            models.CheckConstraint(condition=Q(verdict__in=[verdict.value for verdict in Verdict]), name="finding_verdict_known"),
        ]
        indexes = [models.Index(fields=["-found_at", "-id"], name="finding_list_order")]

    def __str__(self) -> str:
        return f"{self.symbol} {self.get_rule_display()} {self.date or ''}".rstrip()
