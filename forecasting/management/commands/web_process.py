"""`manage.py web_process`: one process of the web server, started by `manage.py web`."""

import os
import socket
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import AnonymousUser
from django.core.management.base import BaseCommand, CommandParser
from django.core.servers.basehttp import get_internal_wsgi_application
from django.http import HttpRequest

from forecasting.background import alerts
from forecasting.runtime.processes import StopSignal, keep_loaded
from forecasting.runtime.web_server import WebServer


class Command(BaseCommand):
    """Not for people."""

    help = "One process of the web server, as `manage.py web` starts it."

    def add_arguments(self, parser: CommandParser) -> None:
        """Inherited descriptors."""
        parser.add_argument("listener", type=int, help="the listening socket")
        parser.add_argument("ready", type=int, help="a pipe that gets a byte once connections are accepted")

    def handle(self, *args: Any, **options: Any) -> None:
        """Returns after SIGTERM, or when the parent has died, once running requests are answered."""
        stop = StopSignal()
        server = WebServer(get_internal_wsgi_application(), socket.socket(fileno=options["listener"]))
        warm_up()
        keep_loaded()
        os.write(options["ready"], b"1")
        os.close(options["ready"])
        alerts.watch(stop)
        server.serve(stop)


def warm_up() -> None:
    """Shows the login page to nobody: Django compiles the admin's templates at their first use, while all other requests wait."""
    request = HttpRequest()
    request.method, request.path, request.user = "GET", "/admin/login/", AnonymousUser()
    request.META = {"SCRIPT_NAME": "", "SERVER_NAME": "localhost", "SERVER_PORT": "80"}
    admin.site.login(request).render()  # type: ignore[attr-defined] # a TemplateResponse
