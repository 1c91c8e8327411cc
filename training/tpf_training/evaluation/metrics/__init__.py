"""Metrics over frames, one a file. All take arrays of N frames and compute in the arrays' own precision."""
