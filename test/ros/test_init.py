import os
import subprocess
import sys


def test_waiting_threads_soon_leave_the_cores_to_others():
    environment = {key: value for key, value in os.environ.items() if key not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    done = subprocess.run(
        [sys.executable, "-c", "import tpf_ros.cli, torch"],
        env={**environment, "OMP_DISPLAY_ENV": "verbose"},  # OpenMP then prints what it has read
        capture_output=True,
        text=True,
        check=True,
    )
    assert "GOMP_SPINCOUNT = '10000'" in done.stderr
