"""The model card: what someone who takes the weights must know, written from their provenance alone."""

import json

from tpf_model.config import ModelConfig


def model_card(config: ModelConfig, parameters: dict[str, int], size: int, provenance: dict) -> str:
    """Markdown. parameters: by part; size: of the file, bytes; provenance: as `provenance.describe` makes it."""
    counts = ", ".join(f"{name} {count / 1e6:.3f} M" for name, count in parameters.items())
    lines = [
        f"# TPF weights: {config.name}",
        "",
        f"Visible + thermal single-object tracker. Parameters: {counts}. {size / 1e6:.1f} MB, float16.",
        "",
        "## Training",
        "",
        *(f"{number}. {line}" for number, line in enumerate(_runs(provenance), start=1)),
        "",
        "## Data of the last run",
        "",
        "| source | share | licence |",
        "|---|---|---|",
        *(f"| {name} | {of['share']:.1%} | {of['licence']} |" for name, of in provenance.get("data", {}).items()),
        "",
        "Mind these terms before a commercial use.",
        "",
        "## Limits",
        "",
        "Nothing is known of how these weights do on scenes, cameras and targets unlike their data; judge them on video of",
        "your own (`tpf-eval compare`). Targets that look alike may be confused where they cross. Names of the data above are",
        "those of the sources' folders: what lay in them is what the licence notes say, unless someone edited them.",
    ]
    if "scores" in provenance:
        lines += ["", "## Scores", "", *_scores(provenance["scores"])]
    return "\n".join(lines) + "\n"


def _runs(provenance: dict) -> list[str]:
    """Every run once: an auxiliary tracker mostly descends from the same ones."""
    return list(dict.fromkeys(_history(provenance)))


def _history(provenance: dict) -> list[str]:
    """One line a run, from the first to the last."""
    lines = []
    for kind, origin in provenance.get("start", {}).items():
        if isinstance(origin, dict):
            lines += _of_origin(kind, origin)
    if "mean of" in provenance:
        histories = [_of_origin(kind, origin) for kind, origin in provenance["mean of"].items()]
        lines += [line for history in histories for line in history]
        lines.append(f"`{provenance['command']}`: the mean of " + " and ".join(f"({run[-1]})" for run in histories))
    elif "command" in provenance:
        settings = provenance["settings"]
        run = settings.get("run", settings)  # of weights made before there was such a group
        what = f"`{provenance['command']}` of {settings['model']}"
        samples = run["batch"] * provenance.get("devices", 1)  # `batch` is each device's
        lines.append(f"{what}, {provenance['step']} steps of {samples} samples, seed {run['seed']}")
    return lines


def _of_origin(kind: str, origin: dict) -> list[str]:
    earlier = origin.get("provenance")
    return _history(earlier) if earlier else [f"{kind}: {origin['file']}, {origin.get('source', 'unknown source')}"]


def _scores(scores: dict) -> list[str]:
    return ["```json", json.dumps(scores, indent=1), "```"]
