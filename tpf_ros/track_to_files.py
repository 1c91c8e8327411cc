"""Runs a tracker over recorded images and writes what it gives, frame by frame."""

import os
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from tpf_model.boxes import Box
from tpf_ros.boxes_csv import BoxesWriter, BoxRow, format_stamp
from tpf_ros.command_error import INTERRUPTED, CommandError
from tpf_ros.drawing import draw_pair, draw_true_box
from tpf_ros.offline import OfflineTracker
from tpf_ros.sources import SourceError
from tpf_ros.status_line import StatusLine
from tpf_ros.video_writer import VideoWriter

File = str | os.PathLike


@dataclass
class Tracked:
    """The lines of boxes.csv; how long each took from the images' files to the box, s; frames without a usable image by
    camera."""

    rows: list[BoxRow] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    missing: Counter = field(default_factory=Counter)


def track_to_files(
    tracker: OfflineTracker,
    boxes: File,
    video: File | None = None,
    fused: File | None = None,
    truth: dict[int, Box] | None = None,
    first_frame: int = 0,
) -> Tracked:
    """Write boxes.csv, and the annotated and the fused video where they are given; `truth` is drawn in the former.

    first_frame: the number of the sources' first frame in the lines and in `truth`. CommandError says what is kept when
    it ends early.
    """
    tracked, truth = Tracked(), truth or {}
    status = StatusLine(lambda seconds: _status(len(tracked.rows), tracker.total, seconds))
    try:
        with ExitStack() as outputs:
            writer = outputs.enter_context(BoxesWriter(boxes))
            annotated = outputs.enter_context(VideoWriter(video, tracker.rate)) if video else None
            whole = outputs.enter_context(VideoWriter(fused, tracker.rate)) if fused else None
            begin = time.perf_counter()
            for moment, row in tracker:
                tracked.seconds.append(time.perf_counter() - begin)
                row = replace(row, frame=first_frame + row.frame)
                writer.write(row)
                tracked.rows.append(row)
                if annotated:
                    lines = (f"frame {row.frame}", f"{format_stamp(row.stamp_ns)} s")
                    image = draw_pair(moment.frame, tracker.registration, row.box, row.state, row.score, lines)
                    if row.frame in truth:
                        draw_true_box(image, truth[row.frame])
                    annotated.write(image, moment.item.arrival_ns)
                if whole:
                    whole.write(tracker.fuse(moment.frame), moment.item.arrival_ns)
                cameras = ("visible", "thermal")
                tracked.missing.update(name for name in cameras if getattr(moment.usable, name, None) is None)
                status.show()
                begin = time.perf_counter()
    except (SourceError, OSError) as error:
        raise CommandError(f"{error}; {_kept(tracked.rows, boxes)}") from error
    except KeyboardInterrupt:
        raise CommandError(f"interrupted; {_kept(tracked.rows, boxes)}", INTERRUPTED) from None
    finally:
        status.show(last=True)
    return tracked


def _status(done: int, total: int, seconds: float) -> str:
    return f"{done}/{total} frames, {done / max(seconds, 1e-9):.1f} frames/s"


def _kept(rows: list[BoxRow], path: File) -> str:
    return f"the {len(rows)} frames before are in {path}" if rows else "no frame was tracked"
