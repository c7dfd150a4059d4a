"""What the database refuses, by the name of the constraint."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import IntegrityError, transaction


@contextmanager
def refused_by(constraint: str) -> Iterator[None]:
    """The database refuses what the block does, by this constraint."""
    with pytest.raises(IntegrityError) as refused, transaction.atomic():
        yield
    diagnosis = getattr(refused.value.__cause__, "diag", None)
    assert (diagnosis and diagnosis.constraint_name) == constraint
