"""From records to training samples: (template, dynamic template, search) crops and the target's box."""

from tpf_training.sampling.mixture import Mixture, build_mixture
from tpf_training.sampling.sample import Sample, collate

__all__ = ["Mixture", "Sample", "build_mixture", "collate"]
