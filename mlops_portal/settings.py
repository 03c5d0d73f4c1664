"""All settings of the portal, read from the environment; unknown or bad values fail loudly.

A running embedded stack writes its addresses to `var/stack.env`; whatever the environment does not say
is taken from there, so that `manage.py` talks to the stack that runs beside it.
"""

import logging
import secrets
import sys
from importlib.util import find_spec
from pathlib import Path

from csp.constants import NONE, SELF
from django.contrib.messages import constants as message_levels
from environs import Env

BASE_DIR = Path(__file__).resolve().parent.parent

env = Env()
VAR = Path(env.str("PORTAL_VAR", str(BASE_DIR / "var"))).resolve()
if (VAR / "stack.env").exists():
    env.read_env(str(VAR / "stack.env"), recurse=False)

DEBUG = env.bool("PORTAL_DEBUG", False)
TESTING = "pytest" in sys.modules
# Commands that need no sessions (checks, migrations) run without a key; the web process refuses to.
SECRET_KEY = env.str("PORTAL_SECRET_KEY", "") or secrets.token_urlsafe(50)
SECRET_KEY_IS_SET = bool(env.str("PORTAL_SECRET_KEY", ""))
ALLOWED_HOSTS = env.list("PORTAL_ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
PORTAL_URL = env.str("PORTAL_URL", "http://127.0.0.1:8000").rstrip("/")
CSRF_TRUSTED_ORIGINS = env.list("PORTAL_TRUSTED_ORIGINS", [PORTAL_URL])

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django_htmx",
    "csp",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "mlops_portal",
    "tenants",
    "releases",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "mlops_portal.urls"
ASGI_APPLICATION = "mlops_portal.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# ---- engines -------------------------------------------------------------------------------------
DATABASES = {"default": env.dj_db_url("DATABASE_URL", "postgresql://localhost/portal")}
DATABASES["default"]["OPTIONS"] = {
    **DATABASES["default"].get("OPTIONS", {}),
    "application_name": "mlops-portal",
    "connect_timeout": 5,
}
# The web process answers each request in a thread of its own: the pool bounds how many of them ask the
# database at once, the others wait for their turn. Workers have few threads and fork: no pool there.
DATABASE_POOL_SIZE = env.int("DATABASE_POOL_SIZE", 0)
if DATABASE_POOL_SIZE:
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    DATABASES["default"]["OPTIONS"]["pool"] = {
        "min_size": 1,
        "max_size": DATABASE_POOL_SIZE,
        "timeout": 10.0,
        "reconnect_timeout": 10.0,  # then whoever asks next tries anew: no back-off outlives an outage
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env.str("REDIS_URL", "redis://localhost:6379/0")
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}
if REDIS_URL.startswith("unix://"):  # Celery spells a Unix socket differently
    _broker = "redis+socket://" + REDIS_URL.removeprefix("unix://").replace("?db=", "?virtual_host=")
else:
    _broker = REDIS_URL

CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", _broker)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = False  # a lost message costs one tick, a repeated one costs work
CELERY_TASK_DEFAULT_QUEUE = "control"
CELERY_TASK_ROUTES = {"releases.tasks.heavy_*": {"queue": "heavy"}}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_timeout": 5, "socket_connect_timeout": 5}
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULE = {
    # A tick that waited longer than it is worth is dropped: the next one does its work.
    "reconcile": {"task": "releases.tasks.reconcile", "schedule": 1.0, "options": {"expires": 2}},
    "sweep": {"task": "releases.tasks.sweep", "schedule": 5.0, "options": {"expires": 5}},
    "baselines": {
        "task": "releases.tasks.read_baselines",
        "schedule": 10.0,
        "options": {"expires": 10},
    },
    "discover": {
        "task": "releases.tasks.heavy_discover",
        "schedule": 10.0,
        "options": {"expires": 10},
    },
    "forget": {"task": "releases.tasks.forget", "schedule": 3600.0, "options": {"expires": 3600}},
    "notify": {"task": "releases.tasks.notify", "schedule": 2.0, "options": {"expires": 2}},
}

MLFLOW_TRACKING_URI = env.str("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
# What MLflow signs its messages to /webhooks/mlflow/ with (`manage.py connect_mlflow` tells it). The embedded
# stack makes one at its first start and keeps it in var/secrets; production sets its own, at least 32
# characters. Empty: no message is taken, and versions are found by polling.
MLFLOW_WEBHOOK_SECRET = env.str("MLFLOW_WEBHOOK_SECRET", "")
# How many seconds a message may be older or newer than the portal's clock; so long ids are remembered.
MLFLOW_WEBHOOK_WINDOW = env.int("MLFLOW_WEBHOOK_WINDOW", 300)

# The local serving target: MLServer processes under the supervisor, behind Envoy.
GATEWAY_URL = env.str("GATEWAY_URL", "http://127.0.0.1:8080").rstrip("/")
ENVOY_ADMIN = env.str("ENVOY_ADMIN", str(VAR / "run" / "envoy-admin.sock"))
ENVOY_XDS = Path(env.str("ENVOY_XDS", str(VAR / "envoy" / "xds")))
SUPERVISOR_SOCKET = env.str("SUPERVISOR_SOCKET", str(VAR / "run" / "supervisor.sock"))
# What model servers are forked from listens here; the local target starts it.
FORK_SERVER = Path(env.str("FORK_SERVER", str(Path(SUPERVISOR_SOCKET).with_name("fork-server.sock"))))
MODEL_PORTS = env.str("MODEL_PORTS", "21000-21999")
MODELS_PYTHON = Path(env.str("MODELS_PYTHON", str(BASE_DIR / ".venv-models" / "bin")))
ARTIFACTS = Path(env.str("PORTAL_ARTIFACTS", str(VAR / "artifacts")))

# Clusters that environments may be on: name=kubeconfig, separated by commas; `in-cluster` instead of a path
# is the service account of the pod that this runs in.
KUBERNETES_CLUSTERS: dict[str, str] = env.dict("KUBERNETES_CLUSTERS", {})
# The hosts that environments may name as gateway and Prometheus (".example.com": all below it): tenants type
# them, and workers ask them. Empty: any, which is for tenants that are trusted.
KUBERNETES_HOSTS: list[str] = env.list("KUBERNETES_HOSTS", [])
# The http:// URL of a proxy through which the pods of clusters are asked for their metrics; empty: directly.
KUBERNETES_POD_PROXY = env.str("KUBERNETES_POD_PROXY", "")
# The S3 where artifacts are mirrored for clusters; credentials as boto3 finds them (AWS_ACCESS_KEY_ID, ...).
ARTIFACTS_S3_ENDPOINT = env.str("ARTIFACTS_S3_ENDPOINT", "")
# The token with which the portal's smoke tests come in at gateways of clusters: a projected service account
# token, or what else their issuer gives out; read anew each time. It opens all tenants' models, and tenants
# name their gateways themselves: it is shown to these hosts only.
GATEWAY_TOKEN_FILE = env.str("GATEWAY_TOKEN_FILE", "")
GATEWAY_TOKEN_HOSTS: list[str] = env.list("GATEWAY_TOKEN_HOSTS", [])

# What model servers on this machine, and the process that inspects a model, find of ours in their
# environment, for what runs beside a model (cache, features, encryption). Models are foreign code: they get
# these variables and no others, and each only when it is set.
MODEL_CACHE_URL = env.str("MODEL_CACHE_URL", "")  # a Redis of the models' own
MODEL_ENCRYPTION_KEY = env.str("MODEL_ENCRYPTION_KEY", "")  # Fernet keys, by commas; the first encrypts
FEATURE_STORE = env.str("FEATURE_STORE", "")  # the folder of a Feast repository
FEATURE_ONLINE_URL = env.str("FEATURE_ONLINE_URL", "")  # host:port/database of its online store
MODEL_PROCESS_ENVIRONMENT = {
    name: value
    for name, value in (
        ("MODEL_CACHE_URL", MODEL_CACHE_URL),
        ("MODEL_ENCRYPTION_KEY", MODEL_ENCRYPTION_KEY),
        ("FEATURE_STORE", FEATURE_STORE),
        ("FEATURE_ONLINE_URL", FEATURE_ONLINE_URL),
    )
    if value
}

# Validation of a model: what its process may use at most.
VALIDATION_SECONDS = env.int("VALIDATION_SECONDS", 60)
VALIDATION_MEMORY_MB = env.int("VALIDATION_MEMORY_MB", 4096)

# Callbacks to addresses inside the portal's own network are refused unless allowed here.
CALLBACK_ALLOW_PRIVATE = env.bool("CALLBACK_ALLOW_PRIVATE", False)
# Statuses of commits: the portal's own token (it may need no more than to write commit statuses), and the
# repositories in which each tenant may have them set: "acme=acme/*,shared/models;globex=globex/models".
# A release that names a commit of another repository is refused.
GITHUB_TOKEN = env.str("GITHUB_TOKEN", "")
GITHUB_STATUS_REPOSITORIES = env.str("GITHUB_STATUS_REPOSITORIES", "")
GITHUB_API_URL = env.str("GITHUB_API_URL", "https://api.github.com").rstrip("/")

# ---- people --------------------------------------------------------------------------------------
AUTH_USER_MODEL = "tenants.User"
LOGIN_URL = "tenants:login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "tenants:login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
PASSWORD_HASHERS = (
    ["django.contrib.auth.hashers.MD5PasswordHasher"]  # the tests log in a thousand times
    if TESTING
    else ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
)

# ---- API -----------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "tenants.authentication.BearerAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["releases.api.parsing.StrictJSONParser"],
    "DEFAULT_METADATA_CLASS": None,
    "URL_FORMAT_OVERRIDE": None,
    "DEFAULT_SCHEMA_CLASS": "releases.api.describing.Description",
    "EXCEPTION_HANDLER": "releases.api.problems.exception_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
API_RATE = env.int("API_RATE", 600)  # requests a minute of one token or person
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000_000
SPECTACULAR_SETTINGS = {
    "TITLE": "MLOps portal",
    "DESCRIPTION": "Release machine-learning models safely.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    # Named here because more than one answer has such a field.
    "ENUM_NAME_OVERRIDES": {
        "VerdictKindEnum": "releases.api.release_answers.VERDICT_KINDS",
        "DeliveryStateEnum": "releases.models.DeliveryState",
    },
    "SWAGGER_UI_SETTINGS": {"validatorUrl": None, "deepLinking": True},
}

# ---- web -----------------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
MESSAGE_TAGS = {message_levels.ERROR: "danger"}
STATIC_URL = "/static/"
STATIC_ROOT = VAR / "static"
PLOTLY = Path(getattr(find_spec("plotly"), "origin", "")).parent
STATICFILES_DIRS = [
    BASE_DIR / "static",
    # The charts' library as its Python package ships it: /static/plotly/plotly.min.js. Not imported.
    ("plotly", PLOTLY / "package_data"),
]
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SECURE_COOKIES = PORTAL_URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_COOKIES
SECURE_SSL_REDIRECT = SECURE_COOKIES
SECURE_HSTS_SECONDS = 31_536_000 if SECURE_COOKIES else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = SECURE_COOKIES
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
if env.bool("PORTAL_BEHIND_PROXY", False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env.log_level("PORTAL_LOG_LEVEL", logging.INFO)},
    "loggers": {
        name: {"level": "WARNING"} for name in ("httpx", "celery.app.trace", "botocore", "s3transfer")
    },
}
