"""A caller: an API key, a staff account or an address."""

from dataclasses import dataclass
from enum import StrEnum

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

from forecasting.models import Key


class Kind(StrEnum):
    """How a caller is known; also its noun in messages."""

    KEY = "key"
    ACCOUNT = "account"
    ADDRESS = "address"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. Budgets are counted by kind and `id`; people read kind and `name`."""

    kind: Kind
    id: str
    name: str
    urgent: bool = False  # whether its trainings go first

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def is_anonymous(self) -> bool:
        """Known by its address only."""
        return self.kind == Kind.ADDRESS


def caller_of(user: AbstractBaseUser | AnonymousUser, *, key: Key | None = None, address: str = "") -> Caller:
    """The caller: the key if there is one, else the account if it is staff, else the address."""
    is_staff = bool(getattr(user, "is_staff", False))
    if key:
        return Caller(Kind.KEY, id=key.prefix, name=key.name, urgent=key.may_train or is_staff)
    if is_staff:
        return Caller(Kind.ACCOUNT, id=str(user.pk), name=user.get_username(), urgent=True)
    return Caller(Kind.ADDRESS, id=address, name=address)
