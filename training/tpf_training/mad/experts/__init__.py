"""Fusion experts as plug-ins: one file a kind."""

from tpf_training.mad.experts.expert import Expert, ExpertError
from tpf_training.mad.experts.open_expert import open_expert

__all__ = ["Expert", "ExpertError", "open_expert"]
