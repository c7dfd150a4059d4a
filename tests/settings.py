"""Settings of the tests: those of the service, with a separate state folder and without the developer's `.env`."""

import os
from pathlib import Path

STATE = Path(__file__).resolve().parent.parent / ".state" / "test"

os.environ["ENV_FILE"] = os.devnull
os.environ.setdefault("STATE_DIR", str(STATE))
os.environ["LOG_DIR"] = str(STATE / "logs")
os.environ["MEDIA_ROOT"] = str(STATE / "media")
os.environ["PRICE_SOURCE"] = "sample"
os.environ["UPSTREAM_REQUESTS_PER_MINUTE"] = "60000"  # the fake Yahoo needs no rate limit
os.environ["UPSTREAM_IN_FLIGHT"] = "8"
os.environ["DEBUG"] = "False"
os.environ["HTTPS_ONLY"] = "False"
os.environ["SECRET_KEY"] = "for the tests alone"  # noqa: S105

from stockpred.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
