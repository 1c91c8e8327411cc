"""What a report shows, as its page takes it (see `templates/report.html`)."""

from tpf_training.datasets.record import DatasetError
from tpf_training.evaluation.frame_times import frame_rate
from tpf_training.evaluation.metrics.robustness import KEPT
from tpf_training.evaluation.one_pass import EvaluationError
from tpf_training.evaluation.plot_figures import draw_figures, left_out
from tpf_training.evaluation.plot_style import Line, lines
from tpf_training.evaluation.report_folder import ReportFolder
from tpf_training.evaluation.report_sequence import read_course
from tpf_training.evaluation.report_worst import describe_course, make_strip
from tpf_training.evaluation.score import Scored
from tpf_training.evaluation.score_report import conditions
from tpf_training.evaluation.sequences import Opener


def report_content(
    scored: Scored,
    rates: dict[str, float],
    openers: dict[str, Opener],
    folder: ReportFolder,
    worst: int,
    pictures: int,
    cut: bool,
) -> tuple[dict, list[str]]:
    """The page's content, with its pictures in `folder`, and which pictures could not be had, and why.

    The first tracker is the report's subject. rates: frames a second by tracker. openers: of the sequences, by name.
    worst: how many sequences to show, in `pictures` pictures each. cut: see `read_result`. EvaluationError where no
    result of the subject was scored.
    """
    subject = next(iter(scored.folders))
    trackers, last = scored.report["trackers"], scored.benchmark.curves[-1].name
    if trackers[subject]["scores"] is None:
        reason = next(iter(trackers[subject]["failed"].values()))
        raise EvaluationError(f"{subject}: none of its results could be scored, the first: {reason}")
    looks = lines(list(scored.folders), subject)
    rows = _rows(scored, subject)
    entries, lacking = _worst(scored, subject, looks, openers, folder, rows[:worst], pictures, cut)
    ranked = [name for name in trackers if trackers[name]["scores"]]
    content = {
        "subject": subject,
        "benchmark": scored.benchmark.name,
        "conditions": conditions(scored.report),
        "count": scored.report["sequences"],
        "scores": [curve.name for curve in scored.benchmark.curves],
        "last": last,
        "kept": KEPT,
        "trackers": [
            {
                "name": name,
                "sequences": len(tracker["sequences"]),
                "scores": list((tracker["scores"] or {c.name: None for c in scored.benchmark.curves}).values()),
                "rate": rates.get(name),
            }
            for name, tracker in trackers.items()
        ],
        "attributes": [
            {
                "name": attribute,
                "sequences": group["sequences"],
                "scores": [trackers[name]["attributes"].get(attribute, {}).get(last) for name in trackers],
            }
            for attribute, group in trackers[subject]["attributes"].items()
        ],
        "figures": folder.add_figures(lambda: draw_figures(scored, rates, looks)),
        "notes": left_out(scored, rates),
        "others": [name for name in ranked if name != subject],
        "worst": entries,
        "rows": rows,
        "failed": [f"{name}: {reason}" for name, t in trackers.items() for reason in t["failed"].values()],
    }
    return content, lacking


def _rows(scored: Scored, subject: str) -> list[dict]:
    """A row a scored sequence of the subject, the worst first."""
    trackers = scored.report["trackers"]
    others = [trackers[name]["sequences"] for name in trackers if trackers[name]["scores"] and name != subject]
    names, last = [curve.name for curve in scored.benchmark.curves], scored.benchmark.curves[-1].name
    rows = [
        {
            "name": name,
            "number": number,
            "frames": numbers["frames"],
            "scores": [numbers[score] for score in names],
            "rate": _rate(scored, subject, name),
            "others": [other.get(name, {}).get(last) for other in others],
        }
        for number, (name, numbers) in enumerate(trackers[subject]["sequences"].items())
    ]
    return sorted(rows, key=lambda row: row["scores"][-1])


def _rate(scored: Scored, subject: str, sequence: str) -> float | None:
    try:
        return frame_rate([scored.files[subject][sequence]])
    except DatasetError:
        return None  # damaged times are named once, where they cost the tracker its rate


def _worst(
    scored: Scored,
    subject: str,
    looks: dict[str, Line],
    openers: dict[str, Opener],
    folder: ReportFolder,
    rows: list[dict],
    pictures: int,
    cut: bool,
) -> tuple[list[dict], list[str]]:
    truths = {truth.name: truth for truth in scored.sequences}
    entries, lacking = [], []
    for row in rows:
        name, stem = row["name"], f"sequence_{row['number']}"
        course = read_course(scored, truths[name], subject, cut)
        entry = {**row, **describe_course(name, stem, course, subject, looks, folder), "strip": [], "problem": None}
        try:
            if name not in openers:
                raise DatasetError(f"{name}: there are no images of this sequence")
            entry["strip"] = make_strip(name, stem, course, subject, openers[name], pictures, folder)
        except DatasetError as error:
            entry["problem"] = str(error)
            lacking.append(entry["problem"])
        entries.append(entry)
    return entries, lacking
