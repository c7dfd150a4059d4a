"""WSGI entry point: `gunicorn stockpred.wsgi`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "stockpred.settings")

application = get_wsgi_application()
