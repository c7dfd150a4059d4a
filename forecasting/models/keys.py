"""API keys. The database holds only their hashes."""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from rest_framework_api_key.models import AbstractAPIKey

from forecasting.models.trainings import Training
from forecasting.models.webhooks import Webhook


class Scope(models.TextChoices):
    """What a key may do."""

    READ = "read", "read"
    TRAIN = "train", "read and train"


class Key(AbstractAPIKey):
    """A key of a program. Made with `Key.objects.create_key`, which returns its text as well: only now, never again."""

    scope = models.CharField(
        max_length=5,
        choices=Scope,
        default=Scope.READ,
        help_text="With `train`, its retrainings go first, and a symbol may be retrained at any time.",
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="+",
        limit_choices_to={"is_staff": True, "is_active": True},
        verbose_name="account",
        help_text="The staff account that the key acts for: it may do the same on the staff routes.",
    )
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="To the minute.")

    class Meta(AbstractAPIKey.Meta):
        default_permissions = ("view", "add", "change")  # a key is revoked, never deleted
        verbose_name = "API key"
        verbose_name_plural = "API keys"
        constraints = [models.CheckConstraint(condition=Q(scope__in=Scope.values), name="key_scope_known")]

    def clean(self) -> None:
        """Trainings and webhooks tell by its name which key they are of. Raises ValidationError if there was one of this name."""
        told = f"key {self.name}"
        used = (
            Key.objects.filter(name=self.name),
            Webhook.objects.filter(created_by=told),
            Training.objects.filter(requested_by=told),
        )
        if self._state.adding and any(each.exists() for each in used):
            raise ValidationError({"name": "There is, or was, a key of this name. Trainings and webhooks belong to a name."})

    @property
    def may_train(self) -> bool:
        """Whether its trainings go first."""
        return self.scope == Scope.TRAIN

    @property
    def is_usable(self) -> bool:
        """Neither revoked nor expired, nor of an inactive account."""
        return not (self.revoked or self.has_expired or (self.user and not self.user.is_active))
