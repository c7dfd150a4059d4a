"""`python -m tests.seed [--state full] [--sessions 120] [--list FILE] [SYMBOL ...]`: fills the database of the usual variables.

The variables are those of the service, above all STATE_DIR, MEDIA_ROOT, LOG_DIR, ENV_FILE, PRICE_SOURCE and PRICE_DIR. See
tests/seeding.py for the past and tests/states.py for the states. A second call with a later state goes on from the first.
The list has the service's pages, as JSON.
"""

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path

import django


def main() -> None:
    """Takes the database from its state to the chosen one."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "stockpred.settings")
    django.setup()
    from django.core.management import call_command  # noqa: PLC0415 - Django must be set up first

    from tests import every_page, seeding, states  # noqa: PLC0415 - as above

    parser = argparse.ArgumentParser(description="Fills a database with a service's past.")
    parser.add_argument("symbols", nargs="*", default=seeding.SYMBOLS, metavar="SYMBOL")
    parser.add_argument("--sessions", type=int, default=seeding.SESSIONS)
    parser.add_argument("--state", choices=states.STATES, default="full")
    parser.add_argument("--list", type=Path, metavar="FILE")
    chosen = parser.parse_args()
    call_command("migrate", verbosity=0)
    states.reach(chosen.state, past=lambda: seeding.live_through(chosen.symbols, sessions=chosen.sessions, lost=chosen.symbols[-1]))
    if chosen.list:
        chosen.list.write_text(json.dumps([asdict(page) for page in every_page.pages()]))


if __name__ == "__main__":
    main()
