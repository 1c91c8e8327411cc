"""A sequence that went badly, as a report shows it: IoU over time, and a strip of frames."""

import numpy as np

from tpf_training.evaluation.plot_overlap import draw_overlap
from tpf_training.evaluation.plot_style import Line
from tpf_training.evaluation.report_folder import ReportFolder
from tpf_training.evaluation.report_frames import read_frames
from tpf_training.evaluation.report_pictures import draw_frame, encode
from tpf_training.evaluation.report_sequence import Course
from tpf_training.evaluation.sequences import Opener


def describe_course(
    name: str, stem: str, course: Course, subject: str, looks: dict[str, Line], folder: ReportFolder
) -> dict:
    """`failure`, `stretches` and the figure `course` of the page's entry. stem: of its pictures' files."""
    failure = None
    if course.failure:
        first, final = course.frames[list(course.failure)].tolist()
        to_the_end = course.failure[1] == np.flatnonzero(course.present)[-1]
        failure = {"first": first, "last": final, "to_the_end": to_the_end}
    (figure,) = folder.add_figures(lambda: {f"{stem}_iou": draw_overlap(name, course, subject, looks)})
    return {"failure": failure, "stretches": len(course.lost), "course": figure}


def make_strip(
    name: str, stem: str, course: Course, subject: str, opener: Opener, count: int, folder: ReportFolder
) -> list[dict]:
    """`count` evenly spaced frames and the moment of failure, as pictures; DatasetError where one cannot be had."""
    moment = course.failure[0] if course.failure else None
    picked = set(np.linspace(0, len(course.frames) - 1, count).round().astype(int).tolist())
    picked = sorted(picked | ({moment} if course.failure else set()))
    strip = []
    for index, images in zip(picked, read_frames(opener(), course.frames[picked].tolist()), strict=True):
        frame, overlap = course.frames[index], course.overlaps[subject][index]
        picture = draw_frame(images, tuple(truth[index] for truth in course.truths), course.boxes[subject][index])
        caption = f"frame {frame}, " + (f"IoU {overlap:.2f}" if np.isfinite(overlap) else "target absent")
        strip.append(
            {
                "file": folder.add_picture(f"{stem}_frame_{frame}.jpg", encode(picture)),
                "alt": f"{name}, {caption}: the true box and that of {subject}",
                "caption": caption,
                "failure": index == moment,
                "height": picture.shape[0],
                "width": picture.shape[1],
            }
        )
    return strip
