"""Asserts that the database refuses a write, by the name of the constraint."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import IntegrityError, transaction


@contextmanager
def refused_by(constraint: str) -> Iterator[None]:
    """Asserts that this constraint refuses the writes of the block."""
    with pytest.raises(IntegrityError) as refused, transaction.atomic():
        yield
    diagnosis = getattr(refused.value.__cause__, "diag", None)
    assert (diagnosis and diagnosis.constraint_name) == constraint
