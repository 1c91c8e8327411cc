"""The modality gap of several models, side by side, by layer: tables to read and lines to plot."""

import csv
from pathlib import Path

from tpf_training.evaluation.table import Layout

MEANING = """\
MMD^2 of the search crop's tokens, unbiased (Gretton et al., 2012), ± its standard error (jackknife over pairs); 0: one
distribution, 2: nothing in common. In brackets what no gap looks like: 95 % of the estimates stay below where the two
inputs of each pair change places at random. Kernel: mean of 5 Gaussians exp(-d^2 / (s m)), s = 1/4 .. 4, m the median
squared distance of the layer's visible and thermal tokens. pixels: the patches that the encoder gets; embedding: their
projection; 1 ..: its blocks."""
NO_INDEPENDENCE = "Frames of one clip are alike, so the errors and the noise are larger than they say."


def as_document(report: dict, layout: Layout) -> str:
    """A table for each two inputs: a row a layer, a column a model."""
    models = report["models"]
    parts = [f"Modality gap over {report['pairs']} pairs ({report['images']}), {report['tokens']} tokens of each."]
    for pair in next(iter(models.values())):
        layers = max((list(gaps[pair]) for gaps in models.values()), key=len)
        rows = [[layer, *(_cell(gaps[pair].get(layer)) for gaps in models.values())] for layer in layers]
        parts.append(layout([pair, *models], rows))
    if report["failed"]:
        failed = [f"- {name}: {reason}" for name, reason in report["failed"].items()]
        parts.append("\n".join([f"Not used ({len(failed)}):", *failed]))
    notes = [MEANING, NO_INDEPENDENCE] if report["images"] == "frames" else [MEANING]
    return "\n\n".join([*parts, "\n".join(notes)])


def write_csv(report: dict, file: Path) -> None:
    """A line a model, two inputs and layer: `model,inputs,layer,mmd2,error,noise,p`."""
    with open(file, "w", newline="") as output:
        writer = csv.writer(output)
        writer.writerow(["model", "inputs", "layer", "mmd2", "error", "noise", "p"])
        for model, pairs in report["models"].items():
            for pair, layers in pairs.items():
                writer.writerows([model, pair, layer, *map(repr, gap.values())] for layer, gap in layers.items())


def _cell(gap: dict | None) -> str:
    return "-" if gap is None else f"{gap['squared']:.4f} ± {gap['error']:.4f} ({gap['noise']:.4f})"
