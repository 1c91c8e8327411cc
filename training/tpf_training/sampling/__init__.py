"""From records to training samples: (template, dynamic template, search) crops and the target's box."""

from tpf_training.sampling.mixture import DEFAULT_SOURCES, Mixture, build_mixture, check_sources, default_cache
from tpf_training.sampling.sample import Sample, collate, to_float

__all__ = [
    "DEFAULT_SOURCES",
    "Mixture",
    "Sample",
    "build_mixture",
    "check_sources",
    "collate",
    "default_cache",
    "to_float",
]
