"""Evaluation: one pass of any tracker over labelled sequences, and the benchmarks' scores of what it says."""
