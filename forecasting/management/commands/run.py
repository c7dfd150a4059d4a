"""`manage.py run`: runs the whole service in one terminal."""

import http.client
import secrets
import shlex
import sys
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from forecasting.prices.catalogue import is_simulated
from forecasting.runtime.processes import ProcessGroup, StopSignal, wait_for
from forecasting.runtime.service_lock import AnotherServiceError, service_lock
from forecasting.runtime.web_processes import WebProcessError, listen

START_SECONDS = 60
GRACE_SECONDS = 30


class Command(BaseCommand):
    """Database, web server and worker, until Ctrl-C."""

    help = "Runs database, web server and worker until Ctrl-C."

    def handle(self, *args: Any, **options: Any) -> None:
        """Returns after a clean stop. Raises CommandError if a part ends by itself, or if a service already runs in this folder."""
        try:
            with service_lock(Path(settings.STATE_DIR)):
                self._refuse_taken_port()
                self._run()
        except AnotherServiceError as error:
            raise CommandError(str(error)) from error

    def _run(self) -> None:
        stop = StopSignal()
        self._say("Preparing the database ...")
        call_command("migrate", verbosity=0)
        manage = [sys.executable, str(Path(settings.BASE_DIR) / "manage.py")]
        parts = [ProcessGroup("web server", [*manage, "web"])]
        try:
            if not wait_for(lambda: self._answers() or parts[0].ended() is not None, seconds=START_SECONDS) or parts[0].ended():
                raise CommandError(f"The web server did not start on port {settings.PORT}; see {self._log()}.")
            parts.append(ProcessGroup("worker", [*manage, "worker"]))
            self._greet()
            while not stop.wait(1.0):
                if ended := [part for part in parts if part.ended() is not None]:
                    raise CommandError(f"The {ended[0].name} ended with status {ended[0].ended()}; see {self._log()}.")
            self._say("Stopping ...")
        finally:
            for part in reversed(parts):
                part.stop(grace_s=GRACE_SECONDS)
            if settings.EMBEDDED_POSTGRES:
                settings.EMBEDDED_POSTGRES.stop()
        self._say("Stopped.")

    def _refuse_taken_port(self) -> None:
        try:
            listen(settings.HOST, settings.PORT).close()
        except WebProcessError as error:
            raise CommandError(str(error)) from error

    def _greet(self) -> None:
        url = self._url()
        self._say("")
        self._say(f"stockpred serves at {url}")
        self._say(f"  Swagger   {url}/swagger")
        self._say(f"  Admin     {url}/admin/   {self._login()}")
        self._say(f"  Prices    {'SIMULATED' if is_simulated(settings.PRICE_SOURCE) else settings.PRICE_SOURCE}")
        self._say(f"  Log       {self._log()}")
        self._say("Ctrl-C stops the service.")

    def _login(self) -> str:
        """How to log in. At a terminal, creates the first administrator. A password is never written to a log file."""
        users = get_user_model().objects
        if users.filter(is_staff=True).exists():
            return ""
        if not sys.stdout.isatty():
            return f"(create a login: {self._command('createsuperuser')})"
        password = secrets.token_urlsafe(12)
        users.create_superuser("admin", password=password)
        return f"first login: admin / {password} (shown only once; change it there)"

    def _command(self, name: str) -> str:
        """What to type in this folder to run a command of manage.py with the packages of this process."""
        here, paths = Path.cwd(), [Path(sys.executable), settings.BASE_DIR / "manage.py"]
        return shlex.join([*(str(path.relative_to(here) if path.is_relative_to(here) else path) for path in paths), name])

    def _answers(self) -> bool:
        """Asked without a proxy that the environment may name, and by a name that is always allowed."""
        client = http.client.HTTPConnection(self._host(), settings.PORT, timeout=2)
        try:
            client.request("GET", "/health", headers={"Host": "localhost"})
            return client.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            client.close()

    def _url(self) -> str:
        return f"http://{self._host()}:{settings.PORT}"

    def _host(self) -> str:
        local = IPv4Address(settings.HOST).is_loopback or IPv4Address(settings.HOST).is_unspecified
        return "localhost" if local else settings.HOST

    def _log(self) -> str:
        return str(Path(settings.LOG_DIR) / "app.log") if settings.ENABLE_LOGS else "the lines above (ENABLE_LOGS is off)"

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
