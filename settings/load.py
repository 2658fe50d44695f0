"""Reading settings, and saying what is wrong with them in one line each."""

from __future__ import annotations

import os
import sys
import tomllib
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from settings.model import Settings

PREFIX = "IOTGW_"
TEST_PREFIX = "IOTGW_TEST_"
CONFIG = "IOTGW_CONFIG"
"""Environment variable that names the TOML file; without it ``iotgw.toml`` in the working folder is read if it is there."""


class SettingsError(Exception):
    """One or more settings cannot be used; one line each, with key, fault and fix."""


def load(**overrides: Any) -> Settings:
    """The settings of this process.

    Raises: SettingsError.
    """
    _check_environment()
    path = Path(os.environ.get(CONFIG, "iotgw.toml"))
    if CONFIG in os.environ and not path.is_file():
        raise SettingsError(f"{CONFIG}: there is no file {path}: create it or unset {CONFIG}")
    try:
        return _model(path)(**overrides)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}): give a file this user may read") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not valid TOML ({error}): mend the file") from error
    except ValidationError as error:
        raise SettingsError("\n".join(_line(fault) for fault in error.errors(include_url=False))) from error
    except ValueError as error:
        raise SettingsError(str(error)) from error


def load_or_exit() -> Settings:
    """The settings, or the end of the process with exit status 2 and the faults on standard error."""
    try:
        return load()
    except SettingsError as error:
        exit_with(error)


def exit_with(error: SettingsError) -> NoReturn:
    for line in str(error).splitlines():
        print(f"iotgw: {line}", file=sys.stderr)
    raise SystemExit(2)


def _check_environment() -> None:
    """A misspelt variable would silently leave the default in force."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | {CONFIG}
    for variable in sorted(os.environ):
        name = variable.partition("__")[0].upper()
        if variable.startswith(PREFIX) and name not in known and not variable.startswith(TEST_PREFIX):
            similar = get_close_matches(name, known, n=1)
            fix = f"did you mean {similar[0]}?" if similar else "unset it, docs/settings.md lists what there is"
            raise SettingsError(f"{variable}: there is no such setting: {fix}")


@cache
def _model(path: Path) -> type[Settings]:
    class FromFile(Settings):
        model_config = SettingsConfigDict(**{**Settings.model_config, "toml_file": path})

    return FromFile


def _line(fault: Any) -> str:
    key = ".".join(str(part) for part in fault["loc"])
    text = str(fault["msg"]).removeprefix("Value error, ")
    if not key:
        return text
    if fault["type"] == "extra_forbidden":
        similar = get_close_matches(key, Settings.model_fields, n=1)
        return f"{key}: there is no such setting: " + (
            f"did you mean {similar[0]}?" if similar else "remove it, docs/settings.md lists what there is"
        )
    field = Settings.model_fields.get(str(fault["loc"][0]))
    hint = f" ({field.description})" if field and field.description else ""
    return f"{key}: {text[0].lower()}{text[1:]}{hint}"
