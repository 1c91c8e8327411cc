#!/usr/bin/env bash
# Makes .venv ready: `setup_env.sh` for running the project, `setup_env.sh test` for its tests as well.
#
# With a sourced ROS 2 (ROS_DISTRO set) .venv lies on top of it and gets no ROS wheels. Each step is
# skipped while the files it depends on are those of its last success, so a second run takes a moment.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

die() {
  echo "setup: $*" >&2
  exit 1
}

# once NAME FILE... -- COMMAND...: run COMMAND unless it has succeeded before in this .venv with the same FILEs and ROS.
once() {
  local name=$1 files=()
  shift
  while [ "$1" != -- ]; do
    files+=("$1")
    shift
  done
  shift
  local stamp=.venv/setup-$name sum
  sum=$({ echo "$ros ${ROS_DISTRO:-} $*"; cat "${files[@]}"; } | sha256sum)
  [ "$(cat "$stamp" 2>/dev/null)" = "$sum" ] && return
  echo "setup: $name"
  "$@"
  echo "$sum" >"$stamp"
}

version=$("$python" -c "import sys; print(sys.version_info[1] if sys.version_info[0] == 3 else 0)") ||
  die "'$python' does not run; set PYTHON to a Python 3.10 or newer"
[ "$version" -ge 10 ] || die "$("$python" --version) is too old; set PYTHON to a Python 3.10 or newer"
ros=wheels
if [ -n "${ROS_DISTRO:-}" ]; then
  "$python" -c "import rclpy" || die "ROS 2 $ROS_DISTRO is sourced, but '$python' cannot import rclpy: set PYTHON to" \
    "the Python of that ROS (mostly /usr/bin/python3), or use a shell in which ROS is not sourced"
  ros=sourced
fi
if [ $ros = wheels ]; then
  [ "$version" -le 13 ] ||
    die "there are no ROS wheels for $("$python" --version); source a ROS 2 installation or set PYTHON to a 3.10 - 3.13"
  [ "$(uname -sm)" = "Linux x86_64" ] ||
    die "there are ROS wheels for Linux x86_64 only; source a ROS 2 installation first"
fi

# The environment itself; made anew when it was made for the other kind of ROS or another Python.
site_packages=$([ $ros = sourced ] && echo true || echo false)
if ! { grep -qs "^include-system-site-packages = $site_packages" .venv/pyvenv.cfg &&
  .venv/bin/python -c "import pip, sys; sys.exit(sys.version_info[1] != $version)" 2>/dev/null; }; then
  [ -d .venv ] && echo "setup: .venv is unfinished, or for another Python or the other kind of ROS: making it anew"
  "$python" -m venv --clear $([ $ros = sourced ] && echo --system-site-packages) .venv ||
    die "'$python -m venv' failed; on Debian and Ubuntu it needs: apt install python3-venv"
  touch .venv/COLCON_IGNORE # or colcon would look for packages in here
fi

pip() {
  .venv/bin/python -m pip --disable-pip-version-check "$@"
}

# A sourced ROS brings cv2 and NumPy from apt. Its compiled modules need that NumPy's major version, and a second
# OpenCV would hide the first.
install_runtime() {
  local requirements=requirements/runtime.txt constraints=/dev/null
  if [ $ros = sourced ]; then
    constraints=.venv/constraints.txt
    "$python" -c "import numpy; print('numpy<2' if numpy.__version__.startswith('1.') else '')" >$constraints
    if "$python" -c "import cv2" 2>/dev/null; then
      grep -v '^opencv' $requirements >.venv/runtime.txt
      requirements=.venv/runtime.txt
    fi
  fi
  pip install -r $requirements -c $constraints
}

# torchvision must fit the torch that is there, not replace it. The trackers that ours are compared with need OpenCV's
# contrib modules: the same OpenCV with them goes over the one from pip; one from apt is left alone.
install_test() {
  local opencv
  pip freeze | grep '^torch==' >.venv/torch.txt
  pip install -r requirements/test.txt -c .venv/torch.txt
  opencv=$(pip freeze --local | grep '^opencv-python-headless==' || true)
  [ -z "$opencv" ] || pip install --no-deps "${opencv/python/contrib-python}"
}

interfaces=(tpf_interfaces/*.* tpf_interfaces/*/*)
distribution=(package.xml setup.py setup.cfg pyproject.toml tpf_model/*.h tpf_model/*.cpp tpf_model/*/*.cpp)

once build requirements/build.txt -- pip install -r requirements/build.txt
if [ $ros = wheels ]; then
  once ros requirements/ros.txt -- pip install -r requirements/ros.txt
fi
once interfaces "${interfaces[@]}" requirements/ros.txt -- \
  pip install --no-build-isolation --no-deps --force-reinstall ./tpf_interfaces
once runtime requirements/runtime.txt -- install_runtime
once project "${distribution[@]}" -- pip install --no-build-isolation --no-deps --editable .
if [ "${1:-}" = test ]; then
  once test requirements/test.txt -- install_test
  once training training/pyproject.toml -- pip install --no-build-isolation --no-deps --editable training
fi
