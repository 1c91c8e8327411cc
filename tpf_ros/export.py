"""`tpf export`: a model as an ONNX file or a TensorRT engine, checked on real frames before it is written."""

import argparse
import dataclasses
import json
import math
import os
from pathlib import Path

from tpf_model.config import AUTO, variant_names
from tpf_ros.clip import CLIP
from tpf_ros.command_error import CommandError

# The formats and their precisions, default first. All but onnx are engines, by the module that builds them.
FORMATS = {
    "onnx": ("float32", "float16", "int8"),
    "tensorrt": ("float16", "float32"),
    "tensorrt_rtx": ("float16", "float32"),
}
_STEPS = 12  # frames of the check


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="onnx",
        help="an ONNX file (default), an engine for this machine's GPU, or one for any from NVIDIA's Ampere on",
    )
    parser.add_argument(
        "--model",
        default=AUTO,
        help=f"one of: {', '.join(variant_names())}; auto (default): that of --weights, without a file tiny for CPUs "
        "(onnx in float32 or int8) and small for GPUs (float16, engines)",
    )
    parser.add_argument("--weights", metavar="FILE", help="weights instead of those that ship; 'random': untrained")
    parser.add_argument(
        "--precision",
        help="; ".join(f"{kind}: {', '.join(known)}" for kind, known in FORMATS.items()) + " (default: the first)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="an existing file is replaced")
    parser.add_argument(
        "--check",
        type=Path,
        default=CLIP,
        metavar="CLIP",
        help="folder with visible.mp4, thermal.mp4 and <target>.csv (default: that of the source checkout)",
    )


def run(args: argparse.Namespace) -> int:
    try:
        _export(args)
    except (ValueError, OSError) as error:  # every one of them is about what the user gave, or lacks, and names it
        raise CommandError(str(error)) from error
    return 0


def _export(args: argparse.Namespace) -> None:
    precision = _precision(args)
    _check_out(args)
    if not args.check.is_dir():
        raise ValueError(f"--check {args.check} does not exist: give a clip, such as the source's test/data/0117_1620")

    # Not above: they import PyTorch, which takes seconds.
    from tpf_model.runtime.eager import EagerSession
    from tpf_model.runtime.export_check import LIMITS, compare_sessions
    from tpf_model.runtime.onnx_export import export_onnx
    from tpf_model.runtime.onnx_session import OnnxSession
    from tpf_model.runtime.tensorrt_engine import build_engine, require_tensorrt
    from tpf_model.weights import load_network
    from tpf_ros.labelled_frames import read_labelled_frames

    tensorrt = None if args.format == "onnx" else require_tensorrt(args.format)
    frames = read_labelled_frames(args.check, _STEPS)
    network, provenance = load_network(args.model, args.weights, device=runs_on(args.format, precision))
    model = network.config.name
    file = export_onnx(network, provenance, precision)
    exported = OnnxSession(file, f"the export of model {model!r}")
    exact, limits = EagerSession(network, provenance, "cpu", "float32"), LIMITS[precision]
    differences = compare_sessions(exact, exported, *frames)
    title = f"{model} in {precision} against eager float32, {_STEPS} frames of {args.check}"
    print(_table(differences, limits, title))
    failed = differences.above(limits)
    if failed:
        raise CommandError(f"the export differs too much in {', '.join(failed)}; {args.out} is not written", 1)
    if tensorrt:
        file, built_with = build_engine(tensorrt, file)
        about = {**built_with, "precision": precision, "config": network.config.to_dict(), "provenance": provenance}
        _write(args.out.with_name(args.out.name + ".json"), json.dumps(about, indent=1).encode())
    _write(args.out, file)
    print(f"{args.out}: {len(file) / 1e6:.1f} MB")


def _precision(args: argparse.Namespace) -> str:
    known = FORMATS[args.format]
    if args.precision not in (None, *known):
        raise ValueError(f"--precision {args.precision}: format {args.format} has {', '.join(known)}")
    return args.precision or known[0]


def runs_on(kind: str, precision: str) -> str:
    """The kind of device that a file of the format `kind` is for."""
    return "cuda" if kind != "onnx" or precision == "float16" else "cpu"


def _check_out(args: argparse.Namespace) -> None:
    """Find out before any work whether the result can be written."""
    out = args.out
    if args.format == "onnx" and out.suffix.lower() != ".onnx":
        raise ValueError(f"--out {out} must end in .onnx")
    if not out.parent.is_dir():
        raise ValueError(f"--out {out}: the folder {out.parent} does not exist")
    if out.is_dir() or not os.access(out if out.exists() else out.parent, os.W_OK):
        raise ValueError(f"--out {out} cannot be written")


def _table(differences, limits, title: str) -> str:
    lines = [f"{title}, largest differences:"]
    for field, value, limit in zip(dataclasses.fields(differences), *map(dataclasses.astuple, (differences, limits))):
        unit = " px" if "box" in field.name else ""
        allowed = "" if math.isinf(limit) else f" (at most {limit:g})"
        lines.append(f"  {field.name.replace('_', ' '):<11} {value:.2g}{unit}{allowed}")
    return "\n".join(lines)


def _write(path: Path, data: bytes) -> None:
    """All of it or nothing: a node may be reading the old file."""
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(data)
    partial.replace(path)
