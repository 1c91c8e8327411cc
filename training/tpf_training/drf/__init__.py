"""Decoupled representation fine-tuning (DRF): auxiliary branches that take up what the tracker does not need."""
