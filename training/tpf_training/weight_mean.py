"""The mean of several runs' weights: where one of them starts from another, it mostly errs less than each of them.

Wortsman et al., "Model soups", 2022.
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from tpf_model.network import TPFNetwork
from tpf_model.weights import check_model, load_network
from tpf_training.provenance import origin


def mean_network(paths: Sequence[Path]) -> tuple[TPFNetwork, dict]:
    """A network whose weights are the mean of those in the files `paths`, and its provenance.

    WeightsError names the file that is unusable, or of another model than the first one.
    """
    (mean, _), *others = loaded = [load_network(weights=path) for path in paths]
    for path, (network, _) in zip(paths[1:], others):
        check_model(network.config, mean.config, f"weights file {path}")
    states = [network.state_dict() for network, _ in loaded]
    mean.load_state_dict({name: torch.stack([state[name].float() for state in states]).mean(0) for name in states[0]})
    data = _mean_shares([provenance.get("data", {}) for _, provenance in loaded])
    origins = {f"weights {number}": origin(path) for number, path in enumerate(paths, start=1)}
    return mean, {"command": "tpf-train export", "mean of": origins, "data": data}


def _mean_shares(datas: list[dict]) -> dict:
    """As `provenance.describe` writes them: each source's share of the samples of all runs."""
    sources = {name: of for data in datas for name, of in data.items()}
    shares = {name: sum(data.get(name, {}).get("share", 0.0) for data in datas) / len(datas) for name in sources}
    return {name: of | {"share": round(shares[name], 4)} for name, of in sources.items()}
