"""Django settings. Each one is a constant or comes from an environment variable."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from csp.constants import NONE, SELF
from django.conf import global_settings
from pythonjsonlogger.core import RESERVED_ATTRS

from forecasting.prices.catalogue import SOURCES
from stockpred import environment
from stockpred.embedded_postgres.server import EmbeddedPostgres

BASE_DIR = Path(__file__).resolve().parent.parent
environment.load_env_file(Path(environment.text("ENV_FILE", str(BASE_DIR / ".env"))))

RELEASE = "0.1.0"  # also in pyproject.toml

# What the service does
SEED = environment.integer("SEED", 42, minimum=0, maximum=2**31 - 1)
DAILY_TASK_HOUR = environment.integer("DAILY_TASK_HOUR", 3, minimum=0, maximum=23)
MODEL_MAX_AGE_DAYS = environment.integer("MODEL_MAX_AGE_DAYS", 15, minimum=1, maximum=3650)
KEEP_VERSIONS = environment.integer("KEEP_VERSIONS", 5, minimum=1, maximum=10_000)  # per symbol, with their files
BASE_MAX_AGE_DAYS = environment.integer("BASE_MAX_AGE_DAYS", 90, minimum=1, maximum=3650)
BASE_MIN_SYMBOLS = environment.integer("BASE_MIN_SYMBOLS", 30, minimum=1, maximum=1_000_000)
TRAIN_WORKERS = environment.integer("TRAIN_WORKERS", 1, minimum=1, maximum=64)
TRAIN_QUEUE_LIMIT = environment.integer("TRAIN_QUEUE_LIMIT", 500, minimum=1, maximum=100_000)
TRAIN_TIME_LIMIT = environment.integer("TRAIN_TIME_LIMIT", 600, minimum=10, maximum=86_400)  # seconds per training
TRAIN_THREADS = environment.integer("TRAIN_THREADS", 1, minimum=1, maximum=64)  # per trainer
TRAIN_MEMORY_MB = environment.integer("TRAIN_MEMORY_MB", 3000, minimum=200, maximum=1_000_000)  # resident memory per trainer
PRICE_SOURCE = environment.choice("PRICE_SOURCE", "yahoo", among=tuple(SOURCES))
PRICE_DIR = environment.folder("PRICE_DIR", BASE_DIR / "prices", base=BASE_DIR)
QUOTE_MAX_AGE_SECONDS = environment.integer("QUOTE_MAX_AGE_SECONDS", 60, minimum=1, maximum=600)
PREDICT_REFRESH_SECONDS = environment.integer("PREDICT_REFRESH_SECONDS", 3, minimum=0, maximum=60)
REQUESTED_NAMES_LIMIT = environment.integer("REQUESTED_NAMES_LIMIT", 10_000, minimum=1, maximum=1_000_000)
UPSTREAM_REQUESTS_PER_MINUTE = environment.integer("UPSTREAM_REQUESTS_PER_MINUTE", 60, minimum=1, maximum=60_000)
UPSTREAM_IN_FLIGHT = environment.integer("UPSTREAM_IN_FLIGHT", 2, minimum=1, maximum=8)
WEBHOOK_ALLOW_PRIVATE = environment.boolean("WEBHOOK_ALLOW_PRIVATE", default=False)  # receivers in this network
METRICS_KEY = environment.long_secret("METRICS_KEY")  # of Prometheus; without one, there are metrics only if DEBUG is on
YAHOO_URL = environment.text("YAHOO_URL", "") or None  # a proxy or test server instead of Yahoo

# Callers. A budget of 0 is unlimited. Staff accounts have the budgets of keys.
API_KEY_REQUIRED = environment.boolean("API_KEY_REQUIRED", default=False)
TRUSTED_PROXIES = environment.networks("TRUSTED_PROXIES")  # their X-Forwarded-For is believed
RETRAIN_COOLDOWN = environment.integer("RETRAIN_COOLDOWN", 3600, minimum=0, maximum=86_400)  # seconds; not for urgent callers
ANONYMOUS_REQUESTS_PER_MINUTE = environment.integer("ANONYMOUS_REQUESTS_PER_MINUTE", 300, minimum=0, maximum=10**6)
ANONYMOUS_NEW_SYMBOLS_PER_DAY = environment.integer("ANONYMOUS_NEW_SYMBOLS_PER_DAY", 200, minimum=0, maximum=10**6)
ANONYMOUS_RETRAININGS_PER_DAY = environment.integer("ANONYMOUS_RETRAININGS_PER_DAY", 30, minimum=0, maximum=10**6)
KEY_REQUESTS_PER_MINUTE = environment.integer("KEY_REQUESTS_PER_MINUTE", 6000, minimum=0, maximum=10**6)
KEY_NEW_SYMBOLS_PER_DAY = environment.integer("KEY_NEW_SYMBOLS_PER_DAY", 5000, minimum=0, maximum=10**6)
KEY_RETRAININGS_PER_DAY = environment.integer("KEY_RETRAININGS_PER_DAY", 1000, minimum=0, maximum=10**6)

# Alerts
ALERTS = environment.boolean("ALERTS", default=True)
ALERT_SECONDS = environment.integer("ALERT_SECONDS", 60, minimum=1, maximum=3600)  # between two looks
ALERT_DISK_FREE_MB = environment.integer("ALERT_DISK_FREE_MB", 1000, minimum=0, maximum=10**9)
ALERT_EMAIL = environment.mail_addresses("ALERT_EMAIL")
ALERT_WEBHOOK = environment.text("ALERT_WEBHOOK", "")
ALERT_WEBHOOK_SECRET = environment.webhook_secret("ALERT_WEBHOOK_SECRET")
_mail = environment.mail_server("EMAIL_URL")
EMAIL_BACKEND, EMAIL_HOST, EMAIL_PORT = _mail["EMAIL_BACKEND"], _mail["EMAIL_HOST"], _mail["EMAIL_PORT"]
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _mail["EMAIL_HOST_USER"], _mail["EMAIL_HOST_PASSWORD"]
EMAIL_USE_TLS, EMAIL_USE_SSL = _mail.get("EMAIL_USE_TLS", False), _mail.get("EMAIL_USE_SSL", False)
EMAIL_TIMEOUT = 10  # seconds
DEFAULT_FROM_EMAIL = environment.text("EMAIL_FROM", "stockpred@localhost")

# How soon a failure is noticed, in seconds
LEASE_SECONDS = environment.integer("LEASE_SECONDS", 60, minimum=4, maximum=3600)  # of a training whose worker says nothing
HEARTBEAT_SECONDS = environment.integer("HEARTBEAT_SECONDS", 15, minimum=1, maximum=60)  # between pings to each task cluster
HANG_SECONDS = environment.integer("HANG_SECONDS", 90, minimum=5, maximum=3600)  # without an answer, then it is replaced

# Folders
STATE_DIR = environment.folder("STATE_DIR", BASE_DIR / ".state", base=BASE_DIR)
MEDIA_ROOT = environment.folder("MEDIA_ROOT", BASE_DIR / "media", base=BASE_DIR)
MODEL_STORAGE = environment.bucket("MODEL_STORAGE")  # None: model files are in MEDIA_ROOT only
STORAGES = global_settings.STORAGES | (
    {"models": {"BACKEND": "forecasting.registry.bucket.Bucket", "OPTIONS": MODEL_STORAGE}} if MODEL_STORAGE else {}
)
ENABLE_LOGS = environment.boolean("ENABLE_LOGS", default=True)
LOG_FORMAT = environment.choice("LOG_FORMAT", "line", among=("line", "json"))
ACCESS_LOG = environment.choice("ACCESS_LOG", "file", among=("file", "console", "off"))  # one line per request
LOG_DIR = environment.folder("LOG_DIR", BASE_DIR / "logs", base=BASE_DIR, create=ENABLE_LOGS)

# Web
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
DEBUG = environment.boolean("DEBUG", default=True)
SECRET_KEY = environment.secret_key("SECRET_KEY", generate_in=STATE_DIR, debug=DEBUG)
ALLOWED_HOSTS = [*environment.words("ALLOWED_HOSTS"), *LOCAL_HOSTS]  # health checks come from this machine
CSRF_TRUSTED_ORIGINS = environment.words("CSRF_TRUSTED_ORIGINS")
CORS_ALLOWED_ORIGINS = environment.origins("CORS_ALLOWED_ORIGINS")  # pages of these sites may call the API from a browser
CORS_URLS_REGEX = r"^/(models/|health|schema|swagger\.json)"
CORS_ALLOW_METHODS = ("GET", "HEAD", "OPTIONS", "POST")
CORS_EXPOSE_HEADERS = ("ETag", "Retry-After", "X-Request-ID")
HOST = environment.address("HOST", "127.0.0.1")
PORT = environment.integer("PORT", 8000, minimum=1, maximum=65_535)
ROOT_URLCONF = "stockpred.urls"
WSGI_APPLICATION = "stockpred.wsgi.application"
APPEND_SLASH = False  # API routes accept an optional trailing slash; the admin redirects on its own
DATA_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024  # bytes; 50 symbols need less than 2,000
X_FRAME_OPTIONS = "DENY"
PUBLIC_PAGES = environment.boolean("PUBLIC_PAGES", default=not API_KEY_REQUIRED)  # they show what the API tells everyone
DOCS_FOR_STAFF_ONLY = environment.boolean("DOCS_FOR_STAFF_ONLY", default=False)

# HTTPS. A service for others is reached by HTTPS only, unless HTTPS_ONLY says otherwise.
HTTPS_ONLY = environment.boolean("HTTPS_ONLY", default=not DEBUG)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = environment.boolean("SECURE_COOKIES", default=HTTPS_ONLY)
SECURE_SSL_REDIRECT = environment.boolean("SSL_REDIRECT", default=HTTPS_ONLY)
SECURE_REDIRECT_EXEMPT = [
    r"^health(/live|/ready)?/?$",
    r"^metrics/?$",
]  # health checks and Prometheus speak plain HTTP to this machine
SECURE_HSTS_SECONDS = environment.integer("HSTS_SECONDS", 31_536_000 if HTTPS_ONLY else 0, minimum=0, maximum=63_072_000)
SECURE_HSTS_INCLUDE_SUBDOMAINS = environment.boolean("HSTS_SUBDOMAINS", default=False)
# Other hosts of the domain may need plain HTTP, and a preload list is for the whole domain: only its owner can decide.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
SECURE_PROXY_SSL_HEADER = environment.https_header("PROXY_SSL_HEADER")

# Pages load everything from this server, and run no scripts or styles inside the HTML. Pages with a chart may have such styles.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

# Accounts
LOGIN_FAILURES = environment.integer("LOGIN_FAILURES", 5, minimum=1, maximum=1000)  # of one account from one address
LOGIN_LOCK_MINUTES = environment.integer("LOGIN_LOCK_MINUTES", 15, minimum=1, maximum=1440)
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
AXES_HANDLER = "forecasting.logins.LoginLimits"
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"], "ip_address"]  # in the order that the handler expects
AXES_FAILURE_LIMIT = LOGIN_FAILURES
AXES_COOLOFF_TIME = timedelta(minutes=LOGIN_LOCK_MINUTES)  # failures that are older are deleted at the next login
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # a lock ends, whatever is tried meanwhile
AXES_RESET_ON_SUCCESS = True
AXES_CLIENT_IP_CALLABLE = "forecasting.logins.login_address"
AXES_LOCKOUT_CALLABLE = "forecasting.logins.locked_out"
AXES_SENSITIVE_PARAMETERS = ["username", "csrfmiddlewaretoken"]  # some people type their password as the user name
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False

INSTALLED_APPS = [
    "stockpred.admin.StockpredAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "corsheaders",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_q",
    "rest_framework_api_key",
    "axes",
    "csp",
    "forecasting",
]

MIDDLEWARE = [
    "forecasting.api.access.Access",  # first, so that every answer has an id and a line in the access log
    "stockpred.middleware.ContentSecurityPolicy",  # before all others that may answer
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "forecasting.api.errors.JsonErrorsMiddleware",
    "django.middleware.http.ConditionalGetMiddleware",
    "stockpred.middleware.Session",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "stockpred.middleware.Authentication",
    "stockpred.middleware.Messages",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "forecasting" / "templates"],  # before those of Django's admin, which some of ours extend
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# Database and cache
EMBEDDED_POSTGRES: EmbeddedPostgres | None = None
_database = environment.database("DATABASE_URL")
if _database is None:
    EMBEDDED_POSTGRES = EmbeddedPostgres.at(STATE_DIR / "postgres")
    _database = EMBEDDED_POSTGRES.django_database()
_database |= {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}
_database["OPTIONS"] = _database.get("OPTIONS", {}) | {"connect_timeout": 5, "tcp_user_timeout": 20_000}  # s; ms
DATABASES = {"default": _database}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "cache"}}

# Background work. Both clusters use the ORM broker, so a task commits in the same transaction as its row. `retry` counts from the
# moment a task leaves the queue. It must exceed the time of all tasks that may run before it; see forecasting/checks.py.
SHORT_TASK_TIMEOUT = 600  # seconds
SHORT_TASK_PROCESSES = 2
DRAIN_SECONDS = 600  # a task that drains the training queue claims nothing after this; the next task continues
TRAINING_TASK_TIMEOUT = DRAIN_SECONDS + TRAIN_TIME_LIMIT + 60
Q_CLUSTER = {
    "name": "short",
    "label": "Background tasks",
    "orm": "default",
    "broker_class": "forecasting.runtime.broker.DatabaseClockBroker",
    "workers": SHORT_TASK_PROCESSES,
    "queue_limit": 1,
    "bulk": 1,
    "poll": 0.5,
    "timeout": SHORT_TASK_TIMEOUT,
    "retry": 3 * SHORT_TASK_TIMEOUT + 60,
    "ack_failures": True,
    "recycle": 500,  # tasks of a process, pings included, until a new one takes its place: after some two hours
    "catch_up": False,
    "save_limit": 0,  # with a limit, django-q2 would open the pickles of all kept tasks at each save; see outcomes.py
    "ALT_CLUSTERS": {
        "training": {
            "workers": TRAIN_WORKERS,
            "queue_limit": 1,
            "bulk": 1,
            "poll": 0.5,
            "timeout": TRAINING_TASK_TIMEOUT,
            "retry": 3 * TRAINING_TASK_TIMEOUT + 60,
        }
    },
}

# API
REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["forecasting.api.parsers.StrictJSONParser"],
    "DEFAULT_AUTHENTICATION_CLASSES": [],  # routes that need authentication declare it themselves
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "forecasting.api.errors.exception_handler",
    "UNICODE_JSON": True,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "stockpred",
    "DESCRIPTION": "Forecasts of the next session's closing price, with a naive benchmark and a track record.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": ["forecasting.api.credentials.Basic", "rest_framework.authentication.SessionAuthentication"],
    "SERVE_PERMISSIONS": ["forecasting.api.permissions.MayReadDocumentation"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/models",
    "SERVERS": [{"url": "/", "description": "The service that published this document."}],
    "PREPROCESSING_HOOKS": ["forecasting.api.schema.without_optional_slash"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "forecasting.api.schema.without_credentials_if_public",
    ],
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "HealthyStatusEnum": ["ok"],
        "ReasonEnum": "forecasting.models.trainings.TrainingReason",
        "RestatementReasonEnum": "forecasting.models.restatements.RestatementReason",
    },
}

# Whitenoise serves static files directly from the packages, so collectstatic is not needed.
STATIC_URL = "static/"
STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.AppDirectoriesFinder", "forecasting.bokeh.BokehFiles"]
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False

LANGUAGE_CODE = "en-us"
FORMAT_MODULE_PATH = "stockpred.formats"
TIME_ZONE = environment.time_zone("TIME_ZONE", "UTC")
USE_TZ = True

# Logging: one line per event, on the console and in LOG_DIR/app.log; one per request in access.log. All processes share the files.
_handlers = ["console", "file"] if ENABLE_LOGS else ["none"]
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "forecasting.runtime.log_line.LineFormatter",
            "fmt": "{asctime} {levelname} {name} [symbol={symbol} training={training} request={request_id}] {message}",
            "style": "{",
            "defaults": {"symbol": "-", "training": "-", "request_id": "-"},
        },
        "json": {
            "()": "pythonjsonlogger.json.JsonFormatter",
            "fmt": ["levelname", "name", "message"],
            "rename_fields": {"levelname": "level", "name": "logger"},
            "timestamp": True,
            # Besides what every record has: objects whose text may hold what a client sent.
            "reserved_attrs": [*RESERVED_ATTRS, "request", "server_time"],
        },
    },
    "filters": {"trace": {"()": "forecasting.tracing.Trace"}},
    "handlers": {
        "none": {"class": "logging.NullHandler"},
        "console": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT, "filters": ["trace"]},
    },
    "root": {"handlers": _handlers, "level": "INFO"},
    "loggers": {
        "django": {"handlers": [], "propagate": True},
        "django.server": {"handlers": [], "propagate": True},
        "django-q": {"handlers": [], "level": "WARNING", "propagate": True},
        "waitress": {"level": "WARNING"},  # it tells of each client that leaves early
        "waitress.queue": {"level": "ERROR"},  # it warns of each request that waits for a thread
        "yfinance": {"level": "CRITICAL"},  # its failures also raise exceptions
        "absl": {"level": "WARNING"},
        "axes": {"level": "WARNING"},
    },
}
if ENABLE_LOGS:
    _files: dict[str, Any] = {
        name: {
            "class": handler,
            "filename": str(LOG_DIR / file),
            "maxBytes": 10 * 1024 * 1024,
            "backupCount": 5,
            "formatter": LOG_FORMAT,
            "filters": ["trace"],
            "delay": True,
            "chmod": 0o640,
        }
        for name, file, handler in (
            ("file", "app.log", "concurrent_log_handler.ConcurrentRotatingFileHandler"),
            ("access", "access.log", "forecasting.runtime.batched_log.BatchedFile"),
        )
    }
    LOGGING["handlers"] |= _files  # type: ignore[operator] # a dictionary of dictionaries, as dictConfig wants it
    # A file of its own: a busy hour would rotate everything else out of app.log.
    _access = {"handlers": ["console" if ACCESS_LOG == "console" else "access"], "propagate": False}
    LOGGING["loggers"]["forecasting.access"] = _access  # type: ignore[index]
