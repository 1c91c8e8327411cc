"""Where weights come from, in one line."""

from tpf_model.runtime import SessionInfo


def provenance(info: SessionInfo) -> str:
    """The short part of the weights' provenance; `tpf info --json` prints all of it."""
    return ", ".join(f"{key}: {value}" for key, value in info.weights.items() if isinstance(value, (str, int, float)))
