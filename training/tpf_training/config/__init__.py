"""Typed configurations of the commands: frozen dataclasses, filled from YAML files and `key=value` overrides."""

from tpf_training.config.load import ConfigError, change_config, load_config, shipped_configs

__all__ = ["ConfigError", "change_config", "load_config", "shipped_configs"]
