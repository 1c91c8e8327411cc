"""A tiny data folder with every source, in which a bright rectangle moves over a dim, textured background."""

import cv2
import numpy as np
import pytest

SIZE = 160, 120
WIDE, TALL = 24, 48


@pytest.fixture(scope="session")
def write_clip():
    return _write_clip


@pytest.fixture(scope="session")
def data_root(tmp_path_factory):
    """The folder; tests that change it work on a copy. Files of held-out clips are broken, so reading one fails."""
    root = tmp_path_factory.mktemp("data")
    _write_clip(root / "rgbt_video/walk", ["visible", "thermal"], "A")
    _write_clip(root / "rgb_video/walk", ["visible"], "A")
    for name in ("V_ONE", "IR_ONE"):
        modality = "visible" if name.startswith("V") else "thermal"
        _write_clip(root / "single_modality" / modality, [name], name)
    _write_clip(root / "thermal_video", ["street"])
    frame = _person()
    for folder in ("visible", "thermal"):
        (root / "rgbt_pairs/set" / folder).mkdir(parents=True)
        cv2.imwrite(str(root / "rgbt_pairs/set" / folder / "one.jpg"), frame)
    (root / "single_modality/eval.txt").write_text("V_TWO\nIR_TWO\n")
    for held_out in (
        "rgbt_video/0117_1620/A.csv",
        "rgbt_video/0117_1620/visible.mp4",
        "rgbt_video/0117_1620/thermal.mp4",
        "rgbt_video/1230_1202/A.csv",
        "rgbt_pairs/set/thermal/0117_1620_0008.jpg",
        "rgbt_pairs/set/visible/0117_1620_0008.jpg",
        "thermal_video/1230_1202.mp4",
        "single_modality/visible/V_TWO.csv",
        "single_modality/visible/V_TWO.mp4",
        "single_modality/thermal/IR_TWO.csv",
    ):
        (root / held_out).parent.mkdir(exist_ok=True)
        (root / held_out).write_bytes(b"broken")
    return root


def _write_clip(folder, videos, box_file=None, start=0, count=60):
    """`count` frames of the moving rectangle as each of `videos`, and its boxes; `start`: how far it has moved."""
    folder.mkdir(parents=True, exist_ok=True)
    background = _background()
    codec = cv2.VideoWriter.fourcc(*"mp4v")
    writers = [cv2.VideoWriter(str(folder / f"{name}.mp4"), codec, 30, SIZE) for name in videos]
    lines = ["frame,x,y,w,h,visible"]
    for index in range(count):
        x, y = 4 + 2 * (start + index), 40 + round(20 * np.sin(index / 10))
        frame = background.copy()
        frame[y : y + TALL, x : x + WIDE] = 255
        lines.append(f"{index},{x},{y},{WIDE},{TALL},1")
        for writer in writers:
            writer.write(frame)
    for writer in writers:
        writer.release()
    if box_file:
        (folder / f"{box_file}.csv").write_text("\n".join(lines) + "\n")


def _background():
    noise = np.random.default_rng(0).integers(20, 90, (SIZE[1] // 8, SIZE[0] // 8), dtype=np.uint8)
    return cv2.cvtColor(cv2.resize(noise, SIZE, interpolation=cv2.INTER_NEAREST), cv2.COLOR_GRAY2BGR)


def _person():
    """A still with a warm upright blob that is found without labels."""
    image = _background()
    cv2.ellipse(image, (80, 60), (12, 24), 0, 0, 360, (240, 240, 240), -1)
    return image
