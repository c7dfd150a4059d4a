"""Runs Python in child processes, as the service or an ordinary user would."""

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

ENSURE = """
import sys
from pathlib import Path
from stockpred.embedded_postgres.server import EmbeddedPostgres
EmbeddedPostgres.at(Path(sys.argv[1])).ensure()
"""

# Root drops its rights only after the imports, because the other account may be unable to read root's Python.
ORDINARY_USER = """
import os, pwd, sys
from pathlib import Path
from stockpred.embedded_postgres.server import EmbeddedPostgres, EmbeddedPostgresError
if os.geteuid() == 0:
    nobody = pwd.getpwnam("nobody")
    os.setgroups([]), os.setgid(nobody.pw_gid), os.setuid(nobody.pw_uid)
server = EmbeddedPostgres.at(Path(sys.argv[1]))
"""

DJANGO = """
import sys
from pathlib import Path
import django
from django.conf import settings
from stockpred.embedded_postgres.server import EmbeddedPostgres
server = EmbeddedPostgres.at(Path(sys.argv[1]))
apps = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.postgres"]
settings.configure(
    STATE_DIR=sys.argv[1], EMBEDDED_POSTGRES=server, DATABASES={"default": server.django_database()},
    INSTALLED_APPS=apps, USE_TZ=True,
)
django.setup()
from django.core.management import call_command
from django.db import OperationalError, connection
def answer():
    with connection.cursor() as cursor:
        cursor.execute("SELECT 6 * 7")
        return cursor.fetchone()[0]
"""


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Start `code` with `arguments` as its `sys.argv[1:]`; its output is piped."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def result(child: subprocess.Popen[str]) -> str:
    """Its output, after it ended successfully and all its child processes closed the pipe."""
    output, errors = child.communicate(timeout=60)
    assert child.returncode == 0, errors
    return output.strip()


def run(code: str, *arguments: object) -> str:
    """Run `code` to its end and return what it wrote."""
    return result(start(code, *arguments))
