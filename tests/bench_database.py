"""A database for one benchmark."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import django


@contextmanager
def own_database(**variables: str) -> Iterator[Path]:
    """Sets Django up with an empty database, which is removed at the end; yields an empty folder for prices (PRICE_DIR)."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # Postgres may run as another account
        prices = Path(folder) / "prices"
        prices.mkdir()
        own = {"ENV_FILE": os.devnull, "DATABASE_URL": "", "STATE_DIR": folder, "LOG_DIR": folder, "MEDIA_ROOT": f"{folder}/media"}
        own |= {"PRICE_SOURCE": "sample", "PRICE_DIR": str(prices), "SECRET_KEY": "of a benchmark", "ENABLE_LOGS": "False"}
        os.environ |= own | {"DEBUG": "False", "HTTPS_ONLY": "False", "DJANGO_SETTINGS_MODULE": "stockpred.settings"} | variables
        django.setup()
        from django.core.management import call_command  # noqa: PLC0415 - Django must be set up first

        try:
            call_command("migrate", verbosity=0)
            yield prices
        finally:
            subprocess.run([sys.executable, "manage.py", "stop_postgres", "--destroy"], check=True, stdout=subprocess.DEVNULL)
