"""`python -m tests.chaos.one NUMBER COUNT`: runs one case in this process and writes its report as JSON to the file $REPORT."""

import json
import os
import sys
from pathlib import Path

import django


def main(number: int, count: int) -> None:
    """Runs one case. Database, folders and timings come from the environment, so Django is set up first."""
    django.setup()
    from tests.chaos.cases import CASES  # noqa: PLC0415 - needs Django
    from tests.chaos.oracle import watching  # noqa: PLC0415
    from tests.chaos.site import FAST, Site  # noqa: PLC0415

    (case,) = [case for case in CASES if case.number == number]
    names = {"DATABASE_URL", "PRICE_SOURCE", "PRICE_DIR", "OWN_SERVER", *FAST} & set(os.environ)
    site = Site(Path(os.environ["STATE_DIR"]), {name: os.environ[name] for name in names})
    try:
        with site.pace, watching(site):
            case.run(site, count)
    except Exception as error:
        site.problems.append(f"{type(error).__name__}: {error}")
        raise
    finally:
        Path(os.environ["REPORT"]).write_text(json.dumps(site.report()))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
