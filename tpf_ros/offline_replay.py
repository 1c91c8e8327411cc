"""Runs a replay offline: `tpf track`'s own code over a bag's pairs, with what the report needs beside the boxes."""

import time
from math import nan

from tpf_model.boxes import Box
from tpf_model.timing.peak_memory import peak_memory
from tpf_ros.command_error import CommandError
from tpf_ros.offline import OfflineTracker
from tpf_ros.output_folder import empty_folder
from tpf_ros.parameters import Settings
from tpf_ros.provenance import provenance
from tpf_ros.recording import Plan, Published, Recording, Sent
from tpf_ros.sources.bag import BagSource
from tpf_ros.track_to_files import track_to_files


def run_offline(plan: Plan, truth: dict[int, Box], video: bool = False) -> Recording:
    """Track `plan`'s bag and return what came out; boxes.csv and, if asked for, annotated.mp4 are in `plan.out`.

    CommandError for what cannot be used, and for a bag that is damaged further on.
    """
    begin = time.monotonic()
    visible, thermal = BagSource(plan.bag, plan.visible, "visible"), BagSource(plan.bag, plan.thermal, "thermal")
    try:
        settings = Settings.from_values(plan.parameter_values())
        tracker = OfflineTracker(visible, thermal, settings, plan.init_box, plan.init_frame - plan.first_frame)
        startup = time.monotonic() - begin
        sent = [
            [Sent(plan.first_frame + i, 0, stamp, stamp, 0) for i, stamp in enumerate(source.stamps().tolist())]
            for source in (visible, thermal)
        ]
    except (ValueError, OSError) as error:  # every one of them is about what the user gave, and names it
        raise CommandError(str(error)) from error
    empty_folder(plan.out)
    tracked = track_to_files(
        tracker,
        plan.out / "boxes.csv",
        plan.out / "annotated.mp4" if video else None,
        truth=truth,
        first_frame=plan.first_frame,
    )
    published = [
        Published(row.stamp_ns, row.stamp_ns, 1, row.box, row.score, row.state, seconds, nan, row.frame)
        for row, seconds in zip(tracked.rows, tracked.seconds)
    ]
    counts = {"processed": len(tracked.rows), "dropped": 0}
    info = {name: getattr(tracker.info, name) for name in ("model", "device", "runtime", "scan", "precision")}
    facts = {**counts, **info, "weights": provenance(tracker.info, settings.weights)}
    return Recording(plan, *sent, published, facts, 0, 0, startup, peak_memory())
