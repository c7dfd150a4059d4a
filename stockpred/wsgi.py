"""WSGI entry point, for `manage.py web` and for any other WSGI server."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "stockpred.settings")

application = get_wsgi_application()
