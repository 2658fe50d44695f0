"""The smallest Django settings that workers and data commands need."""

from __future__ import annotations

from pathlib import Path

from settings.load import SettingsError, exit_with, load_or_exit
from store.database import database

_settings = load_or_exit()

try:
    DATABASES = {"default": database(_settings.effective_database_url)}
    if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        Path(DATABASES["default"]["NAME"]).parent.mkdir(parents=True, exist_ok=True)
except SettingsError as error:
    exit_with(error)
except OSError as error:
    exit_with(
        SettingsError(f"database_url: the database's folder cannot be made ({error.strerror}): give one this user may write to")
    )

INSTALLED_APPS = ["store", "tasks", "django_celery_beat"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
# The processes configure logging themselves, with settings.logs.
LOGGING_CONFIG = None
