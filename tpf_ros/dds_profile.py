"""Where the Fast DDS profile for large images is (`config/fastdds_images.xml`, explained in `docs/fastdds.md`)."""

import os
import sys
from pathlib import Path

# Releases up to Jazzy read the second variable; newer ones warn of it.
VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
_OLD_RELEASES = ("humble", "iron", "jazzy")


def image_profile() -> dict[str, str]:
    """The environment variable that gives a process the profile, and its value. Other middlewares ignore it.

    Without it Fast DDS's shared-memory segment is smaller than one image. Empty where the user has set a profile.
    """
    if any(variable in os.environ for variable in VARIABLES):
        return {}
    return {VARIABLES[os.environ.get("ROS_DISTRO") in _OLD_RELEASES]: str(_find())}


def _find() -> Path:
    """In a source checkout, or in the share folder of an installation by pip or colcon."""
    name = "fastdds_images.xml"
    package = Path(__file__).resolve().parent
    installed = [parent / "share/tpf_ros/config" / name for parent in (Path(sys.prefix), *package.parents)]
    for path in (package.parent / "config" / name, *installed):
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"config/{name} is missing from the installation of tpf_ros; searched beside {package} and in share/"
    )
