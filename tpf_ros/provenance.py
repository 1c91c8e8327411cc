"""Which weights run, in one line."""

from tpf_model.runtime import SessionInfo


def provenance(info: SessionInfo, weights: str) -> str:
    """The parameter `weights`, and the short part of their provenance; `tpf info --json` prints all of it."""
    parts = (f"{key}: {value}" for key, value in info.weights.items() if isinstance(value, (str, int, float)))
    return f"{weights or 'as shipped'} ({', '.join(parts)})"
