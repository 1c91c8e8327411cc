"""From a YAML file and `key=value` overrides to a checked dataclass."""

import math
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

Config = TypeVar("Config")


class ConfigError(ValueError):
    """A configuration names an unknown key, lacks one, or gives one a value that it cannot have."""


def shipped_configs() -> list[str]:
    """Names of the configurations that come with this package."""
    return sorted(item.name.removesuffix(".yaml") for item in _folder().iterdir() if item.name.endswith(".yaml"))


def load_config(cls: type[Config], source: str | Path, overrides: list[str] | tuple[str, ...] = ()) -> Config:
    """Fill the dataclass `cls` from `source`: a YAML file, or the name of a configuration of `shipped_configs`.

    overrides: "key.of.a.value=value", in YAML's notation; they win over the file. A file's own key `base` names another
    file (beside it, or a shipped one) that it changes. ConfigError names the key at fault, and the nearest right one.
    """
    return _merge(source, lambda: (OmegaConf.structured(cls), _read(source), _dotlist(overrides)))


def change_config(config: Config, overrides: list[str] | tuple[str, ...], source: str) -> Config:
    """`config` with "key=value" overrides; `source` says in an error where they stand. ConfigError as above."""
    return _merge(source, lambda: (OmegaConf.structured(config), _dotlist(overrides)))


def values_by_key(settings, key: str = "") -> dict[str, Any]:
    """The values in nested dictionaries and lists, by their dotted keys."""
    if not isinstance(settings, (dict, list)):
        return {key: settings}
    items = settings.items() if isinstance(settings, dict) else enumerate(settings)
    parts = (values_by_key(part, f"{key}.{name}" if key else name) for name, part in items)
    return {key: value for part in parts for key, value in part.items()}


def _merge(source: str | Path, parts: Callable[[], tuple[DictConfig, ...]]) -> Config:
    try:
        merged = OmegaConf.merge(*parts())
        for key, value in values_by_key(OmegaConf.to_container(merged)).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"{source}: {key} is {value}, must be a finite number")
        return OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        raise ConfigError(_explain(error, source)) from error
    except ValueError as error:  # from a dataclass's own check
        raise error if isinstance(error, ConfigError) else ConfigError(f"{source}: {error}") from error


def _read(source: str | Path, beside: Path | None = None) -> DictConfig:
    path = _find(source, beside)
    try:
        own = OmegaConf.load(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is no YAML: {error}") from error
    if not isinstance(own, DictConfig):
        raise ConfigError(f"{path}: must hold keys and values")
    base = own.pop("base", None)
    return own if base is None else OmegaConf.merge(_read(base, path.parent), own)


def _find(source: str | Path, beside: Path | None) -> Path:
    candidates = [Path(source)] if beside is None else [beside / source]
    candidates.append(_folder() / f"{source}.yaml")
    for path in candidates:
        if path.is_file():
            return path
    known = ", ".join(shipped_configs())
    raise ConfigError(f"{source}: no such file, and no configuration of that name; known: {known}")


def _dotlist(overrides: list[str] | tuple[str, ...]) -> DictConfig:
    for text in overrides:
        if "=" not in text:
            raise ConfigError(f"{text!r} must be key=value")
    try:
        return OmegaConf.from_dotlist(list(overrides))
    except yaml.YAMLError as error:
        raise ConfigError(f"{' '.join(overrides)}: a value is no YAML: {getattr(error, 'problem', error)}") from error


def _explain(error: OmegaConfBaseException, source: str | Path) -> str:
    first = str(error).splitlines()[0]
    key = f" ({error.full_key})" if error.full_key and error.full_key not in first else ""
    known = ""
    if "not in" in first and "Did you mean" not in first and isinstance(error.parent_node, DictConfig):
        known = f"; known: {', '.join(map(str, error.parent_node))}"
    return f"{source}: {first}{key}{known}"


def _folder() -> Path:
    return Path(str(resources.files("tpf_training"))) / "configs"
