"""Reads the settings: one frozen value, from `forebay.toml` and `FOREBAY_` variables.

Rules
- Every problem is reported at once, and never with a secret in it.
- A variable wins over the file, the file over the defaults. `FOREBAY_CLIENT__CHANNEL_LIMIT` is
  `client.channel_limit`; lists are separated by commas or written as JSON, tables as JSON.
- This is the only module that knows the process's environment.

Not here: the settings themselves (`settings`), which variables there are (`variables`), what
`make up` and `forebay dev` begin with (`development`), what settings mean together (`advice`).
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, cast

from pydantic import ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from services.advice import describe_openings
from services.development import DEVELOPMENT
from services.settings import (
    ChannelConfig,
    ChannelOptions,
    ClientConfig,
    Config,
    FrontConfig,
    LaneConfig,
    NamespaceConfig,
    RabbitConfig,
    TokenConfig,
)
from services.variables import PASSWORDS, PREFIX, did_you_mean, names_in, pick_settings

__all__ = [
    "DEVELOPMENT",
    "ChannelConfig",
    "ChannelOptions",
    "ClientConfig",
    "Config",
    "ConfigError",
    "FrontConfig",
    "LaneConfig",
    "NamespaceConfig",
    "RabbitConfig",
    "TokenConfig",
    "describe_openings",
    "development_config",
    "load_config",
    "load_management_url",
    "load_passwords",
]

DEFAULT_FILE: Final = Path("forebay.toml")


class ConfigError(Exception):
    """The settings cannot be used; `problems` has a line for each thing to change."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def load_config(
    path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    defaults: Mapping[str, Any] | None = None,
) -> Config:
    """Read the settings.

    The file is `path`, else what FOREBAY_CONFIG names, else `./forebay.toml` if there is one.
    `environ` left out is the process's own. `defaults` lie below both: `DEVELOPMENT`, or none.

    Raises:
        ConfigError: something is wrong; it lists every problem.
    """
    environ = os.environ if environ is None else environ
    problems: list[str] = []
    variables = pick_settings(environ, problems)
    table = _read_file(path, environ, problems)
    config: Config | None = None
    try:
        # Not settings, but what the sources are made of.
        settings = _Settings(variables=variables, table=table, defaults=defaults or {})  # type: ignore[call-arg]
        config = Config.model_construct(**dict(settings))
    except ConfigError as error:
        problems += error.problems
    if config is None or problems:
        raise ConfigError(problems)
    return config


def development_config(
    path: Path | None = None, environ: Mapping[str, str] | None = None
) -> Config:
    """`load_config` on top of `DEVELOPMENT`: open to anybody who reaches it.

    Raises:
        ConfigError: something is wrong; it lists every problem.
    """
    return load_config(path, environ, defaults=DEVELOPMENT)


def load_passwords(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The passwords of the roles' users in RabbitMQ, of those roles that have one set."""
    environ = os.environ if environ is None else environ
    return {role: environ[name] for role, name in PASSWORDS.items() if environ.get(name)}


def load_management_url(environ: Mapping[str, str] | None = None) -> str | None:
    """The URL of RabbitMQ's management UI, with an administrator's credentials, if it is set."""
    environ = os.environ if environ is None else environ
    return environ.get("FOREBAY_MANAGEMENT_URL") or None


class _Variables(EnvSettingsSource):
    """The environment as a source: only what `pick_settings` found, commas allowed in lists."""

    def __init__(self, settings: type[BaseSettings], variables: Mapping[str, str]) -> None:
        self._variables = variables
        super().__init__(settings, case_sensitive=False)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): value for name, value in self._variables.items()}

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """JSON where it is a table or list; other text is left to the setting's own validation."""
        if not value.lstrip().startswith(("[", "{")):
            return value
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value


class _Settings(Config, BaseSettings):
    """The settings, gathered from the sources that it is made with."""

    model_config = SettingsConfigDict(
        case_sensitive=True, env_prefix=PREFIX, env_nested_delimiter="__"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """From the one that wins to the one that yields."""
        given = cast(InitSettingsSource, init_settings).init_kwargs
        return (
            _Variables(settings_cls, given["variables"]),
            InitSettingsSource(settings_cls, given["table"]),
            InitSettingsSource(settings_cls, given["defaults"]),
        )

    @model_validator(mode="wrap")
    @classmethod
    def _say_what_is_wrong(
        cls, values: Any, handler: ModelWrapValidatorHandler[_Settings]
    ) -> _Settings:
        try:
            return handler(values)
        except ValidationError as error:
            raise ConfigError(list(_sentences(error, values))) from None


def _read_file(
    path: Path | None, environ: Mapping[str, str], problems: list[str]
) -> dict[str, Any]:
    named = path or (Path(environ["FOREBAY_CONFIG"]) if environ.get("FOREBAY_CONFIG") else None)
    try:
        table = tomllib.loads((named or DEFAULT_FILE).read_text("utf-8"))
        _place_schemas(table, (named or DEFAULT_FILE).parent)
        return table
    except FileNotFoundError:
        if named is not None:
            problems.append(f"{named}: no such file")
    except OSError as error:
        problems.append(f"{named or DEFAULT_FILE}: {error.strerror}")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"{named or DEFAULT_FILE}: not TOML: {error}")
    return {}


def _place_schemas(table: Mapping[str, Any], folder: Path) -> None:
    """Let schemas' paths begin where the file is, and not where the process was started."""
    namespaces = table.get("namespace")
    for options in (
        table.get("without_namespace"),
        *(namespaces if isinstance(namespaces, list) else ()),
    ):
        if isinstance(options, dict) and (path := options.get("schema")) and isinstance(path, str):
            options["schema"] = str(folder / path)


def _sentences(error: ValidationError, values: Mapping[str, Any]) -> Iterator[str]:
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        keys = problem["loc"]
        where = _place(keys, values)
        if problem["type"] == "extra_forbidden":
            known = names_in(Config, *(str(key) for key in keys[:-1]))
            yield f"{where}: no such setting{did_you_mean(str(keys[-1]), known)}"
        else:
            yield f"{where}: {problem['msg'].removeprefix('Value error, ')}"


def _place(keys: tuple[int | str, ...], values: Mapping[str, Any]) -> str:
    """Where a problem is, a namespace by its name: `namespace[chat].lane`."""
    match keys:
        case ("namespace", int(at), *rest):
            table = values["namespace"][at]
            name = table.get("name") if isinstance(table, dict) else None
            return ".".join(
                [f"namespace[{name if isinstance(name, str) else at}]", *map(str, rest)]
            )
        case _:
            return ".".join(map(str, keys))
