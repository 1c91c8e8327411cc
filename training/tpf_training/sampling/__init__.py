"""From records to training samples: (template, dynamic template, search) crops and the target's box."""

from tpf_training.sampling.mixture import Mixture, build_mixture, check_weights, default_cache
from tpf_training.sampling.sample import Sample, collate, to_float

__all__ = ["Mixture", "Sample", "build_mixture", "check_weights", "collate", "default_cache", "to_float"]
