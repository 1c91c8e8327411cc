"""A process that tracks with `base` and then holds what that takes until it is ended: `hold_base DEVICE RUNTIME`.

Prints "tracking", or why it cannot.
"""

import sys
import time

from tpf_ros.bench.conditions import Conditions
from tpf_ros.bench.row import NotMeasured
from tpf_ros.bench.sessions import frame_call, open_here

_FRAMES = 60  # the dynamic template is renewed within them


def main(device: str, runtime: str) -> None:
    try:
        track = frame_call(open_here("base", device, Conditions(), runtime=runtime))
    except NotMeasured as reason:
        print(reason, flush=True)
        return
    for _ in range(_FRAMES):
        track()
    print("tracking", flush=True)
    time.sleep(3600)


if __name__ == "__main__":
    main(*sys.argv[1:])
