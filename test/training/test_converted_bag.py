"""What `tpf convert` makes of a bag is a clip to train on."""

import cv2
import numpy as np

from tpf_ros import cli
from tpf_training.datasets.folder import read_folder


def test_a_bag_becomes_a_clip(tmp_path):
    rng = np.random.default_rng(0)
    for name, shape, dtype in (("visible", (48, 64, 3), np.uint8), ("thermal", (24, 32), np.uint16)):
        (tmp_path / "made" / name).mkdir(parents=True)
        for frame in range(6):
            image = rng.integers(0, np.iinfo(dtype).max, shape, dtype)
            cv2.imwrite(str(tmp_path / f"made/{name}/{frame}.png"), image)
    rows = [f"{frame},{10.5 + frame},8,12,20,1" if frame != 2 else "2,0,0,0,0,0" for frame in range(6)]
    (tmp_path / "made/boxes.csv").write_text("\n".join(["frame,x,y,w,h,visible", *rows]) + "\n")
    assert cli.main(["convert", str(tmp_path / "made"), str(tmp_path / "bag"), "--jpeg"]) == 0
    assert cli.main(["convert", str(tmp_path / "bag"), str(tmp_path / "data/clip"), "--align"]) == 0
    (clip,) = read_folder(tmp_path / "data")
    assert clip.frames.tolist() == [0, 1, 3, 4, 5]
    assert clip.boxes[2].tolist() == [13.5, 8, 12, 20]
    assert clip.visible[0].shape == (48, 64, 3)
    assert clip.thermal[0].shape == (48, 64)  # resampled to the visible one's pixels
