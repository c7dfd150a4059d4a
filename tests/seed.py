"""`python -m tests.seed [--state full] [--sessions 120] [SYMBOL ...]`: migrates the database of the usual variables, and fills it.

The variables are those of the service, above all STATE_DIR, MEDIA_ROOT, LOG_DIR, ENV_FILE, PRICE_SOURCE and PRICE_DIR. See
tests/seeding.py for the past and tests/states.py for the states. A second call with a later state goes on from the first.
"""

import argparse
import os

import django


def main() -> None:
    """Takes the database from its state to the chosen one."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "stockpred.settings")
    django.setup()
    from django.core.management import call_command  # noqa: PLC0415 - Django must be set up first

    from tests import seeding, states  # noqa: PLC0415 - as above

    parser = argparse.ArgumentParser(description="Fills a database with a service's past.")
    parser.add_argument("symbols", nargs="*", default=seeding.SYMBOLS, metavar="SYMBOL")
    parser.add_argument("--sessions", type=int, default=seeding.SESSIONS)
    parser.add_argument("--state", choices=states.STATES, default="full")
    chosen = parser.parse_args()
    call_command("migrate", verbosity=0)
    states.reach(chosen.state, past=lambda: seeding.live_through(chosen.symbols, sessions=chosen.sessions, lost=chosen.symbols[-1]))


if __name__ == "__main__":
    main()
