"""Settings of all parts, from one place: the environment (``IOTGW_...``) or a TOML file."""

from settings.load import SettingsError, load
from settings.model import AckRule, Admission, LogFormat, Settings

__all__ = ["AckRule", "Admission", "LogFormat", "Settings", "SettingsError", "load"]
