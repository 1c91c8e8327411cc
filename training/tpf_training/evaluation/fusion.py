"""`tpf-eval fusion`: EN, SF, MI, MSE, PSNR and SSIM of fused images, our models' and others', side by side."""

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from tpf_model.runtime import open_session
from tpf_training.datasets.fused_image import fixed_part
from tpf_training.datasets.record import DatasetError
from tpf_training.evaluation.arguments import (
    add_files,
    add_models,
    check_folders,
    check_unique,
    named_models,
    named_path,
)
from tpf_training.evaluation.fusers import AdditionFuser, FolderFuser, Fuser, ModelFuser, luminance
from tpf_training.evaluation.fusion_metrics import MEASURES
from tpf_training.evaluation.fusion_metrics.structural_similarity import WINDOW
from tpf_training.evaluation.fusion_report import Measured, as_document, make_report, write_csv
from tpf_training.evaluation.one_pass import EvaluationError
from tpf_training.evaluation.pair_folder import PairFolder, find_pairs
from tpf_training.evaluation.show_report import INCOMPLETE, show_report
from tpf_training.evaluation.tracker_options import whole_number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pairs",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="<set>/{visible,thermal}/<name> or {visible,thermal}/<name>, aligned and of equal size",
    )
    fusions = parser.add_argument_group("fusions")
    add_models(fusions)
    fusions.add_argument(
        "--fused",
        type=named_path,
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="fused images <set>/<name>.png (or .jpg ..), {set} anywhere in the path stands for the set; repeatable",
    )
    fusions.add_argument("--addition", action="store_true", help="the mean of both images")
    running = parser.add_argument_group("running and writing")
    running.add_argument("--device", default="auto", help="of our models: auto, cpu, cuda, cuda:N (default: auto)")
    running.add_argument("--threads", type=whole_number(1), default=1, help="of our models (default: %(default)s)")
    add_files(running)


def run(args: argparse.Namespace) -> int:
    check_folders(args.json, args.csv, args.markdown)
    pairs = find_pairs(args.pairs)
    report = measure(_fusers(args), pairs)
    show_report(report, args, as_document, write_csv)
    failed = len(report["failed"]) + sum(len(fusion["failed"]) for fusion in report["fusions"].values())
    if failed:
        print(f"tpf-eval fusion: {failed} image(s) or pair(s) could not be measured, see above", file=sys.stderr)
    return INCOMPLETE if failed else 0


def measure(fusers: list[Fuser], folder: PairFolder) -> dict:
    """As `make_report`. A pair that cannot be read fails for all, a fused image that cannot for its fuser."""
    fusions, failed = {fuser.name: Measured(fuser.name) for fuser in fusers}, dict(folder.failed)
    for files in tqdm(folder.pairs, unit="pair", disable=None):
        try:
            visible, thermal = files.read()
            if min(thermal.shape) < WINDOW:
                size = "x".join(map(str, thermal.shape[::-1]))
                raise DatasetError(f"{files.thermal}: is {size}, SSIM needs {WINDOW} pixels each way")
        except DatasetError as error:
            failed[files.name] = str(error)
            continue
        sources = luminance(visible), thermal
        for fuser in fusers:
            try:
                fused = fuser.fuse(files.name, visible, thermal)
            except DatasetError as error:
                fusions[fuser.name].failed[files.name] = str(error)
            else:
                values = {name: function(fused, *sources) for name, function in MEASURES.items()}
                fusions[fuser.name].pairs[files.name] = values
    return make_report(list(fusions.values()), failed, folder.total)


def _fusers(args: argparse.Namespace) -> list[Fuser]:
    models = named_models(args)
    names = [model.name for model in models] + [name for name, _ in args.fused] + ["addition"] * args.addition
    if not names:
        raise EvaluationError("nothing to measure: give --model, --weights, --fused or --addition")
    check_unique(names, "fusions")
    for name, folder in args.fused:
        if not fixed_part(folder).is_dir():
            raise EvaluationError(f"{name}: {fixed_part(folder)}: no such folder of fused images")
    fusers: list[Fuser] = []
    for model in models:
        try:
            # Stills come in any size, which a recorded graph is not made for.
            session = open_session(model.model, args.device, "eager", model.weights, args.threads)
        except ValueError as error:
            raise EvaluationError(f"{model.name}: {error}") from error
        fusers.append(ModelFuser(model.name, session))
    fusers += [FolderFuser(name, folder) for name, folder in args.fused]
    return fusers + [AdditionFuser()] * args.addition
