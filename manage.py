#!/usr/bin/env python
"""Django's command line: `python manage.py help` lists what the service can do."""

import os
import shlex
import sys
from pathlib import Path

try:
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
except ModuleNotFoundError:
    venv = Path(__file__).parent / ".venv"
    python = os.path.relpath(venv / "bin" / "python")
    if Path(python).exists() and Path(sys.prefix).resolve() != venv.resolve():
        sys.exit(f"The packages are in .venv. Type: {shlex.join([python, *sys.argv])}")
    sys.exit("The packages are not installed. Type: make demo")

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "stockpred.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(str(error))
