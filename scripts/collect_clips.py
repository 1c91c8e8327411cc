"""Collect labelled tracking clips from repositories: `<out>/<split>/<clip>/{visible,thermal}/*.jpg`, `boxes.csv`.

usage: collect_clips.py OUT [--clips CSV] [--base URL]

Each row of the CSV names one target: the split it belongs to, the repository and commit that hold its images and boxes,
the number of the image that the first box is for, and of how many images one is kept. Images are made at most 480 lines
high. Whose images these are, and on which terms, those repositories and the benchmarks they come from say (OTB, VOT,
VOT-TIR, UAV123, DTB70, UAVDT: research use); nothing of them is part of this project.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np

LINES = 480
IMAGES = ".jpg", ".jpeg", ".png", ".bmp"


class CollectError(Exception):
    """What could not be collected, and why."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--clips", type=Path, default=Path(__file__).with_name("tracking_clips.csv"), metavar="CSV")
    parser.add_argument("--base", default="https://github.com/", metavar="URL", help="where the repositories are")
    args = parser.parse_args()
    failed = 0
    for (repository, commit), clips in by_repository(args.clips).items():
        with tempfile.TemporaryDirectory() as folder:
            try:
                check_out(args.base + repository, commit, clips, Path(folder))
                for clip in clips:
                    print(f"{clip['name']}: {collect(clip, Path(folder), args.out)} images", flush=True)
            except (CollectError, OSError) as error:
                print(f"{repository}: {error}", file=sys.stderr)
                failed += 1
    return 1 if failed else 0


def by_repository(file: Path) -> dict[tuple[str, str], list[dict[str, str]]]:
    """The rows of `file`, so that each repository is fetched once."""
    groups = defaultdict(list)
    with file.open(newline="") as rows:
        for row in csv.DictReader(rows):
            groups[row["repository"], row["commit"]].append(row)
    return groups


def check_out(url: str, commit: str, clips: list[dict[str, str]], folder: Path) -> None:
    """The images and box files of `clips`, and no other file, of `commit` in `folder`."""
    wanted = sorted({f"/{clip[key]}" for clip in clips for key in ("images", "boxes")})
    git(folder, "init", "--quiet")
    git(folder, "remote", "add", "origin", url)
    git(folder, "sparse-checkout", "set", "--no-cone", *wanted)
    git(folder, "fetch", "--quiet", "--depth", "1", "--filter", "blob:none", "origin", commit)
    git(folder, "checkout", "--quiet", "FETCH_HEAD")


def git(folder: Path, *arguments: str) -> None:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True)
    if done.returncode:
        raise CollectError(f"git {arguments[0]}: {done.stderr.strip()}")


def collect(clip: dict[str, str], checkout: Path, out: Path) -> int:
    """Write one clip, and return how many images it has."""
    boxes = read_boxes(checkout / clip["boxes"])
    images = numbered(checkout / clip["images"])
    first, step = int(clip["first"]), int(clip["step"])
    numbers = [number for number in range(first, first + len(boxes)) if number in images][::step]
    if not numbers:
        raise CollectError(f"{clip['name']}: no image of {clip['images']} has a number from {first} on")
    folder = out / clip["split"] / clip["name"]
    (folder / clip["modality"]).mkdir(parents=True, exist_ok=True)
    lines = ["frame,x,y,w,h,visible"]
    for index, number in enumerate(numbers):
        image, scale = smaller(images[number])
        if clip["modality"] == "thermal":
            image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        target = folder / clip["modality"] / f"{index:05d}.jpg"
        cv2.imwrite(str(target), image, [cv2.IMWRITE_JPEG_QUALITY, 95])
        lines.append(f"{index}," + box_text(boxes[number - first] * np.tile(scale, 2)))
    (folder / "boxes.csv").write_text("\n".join(lines) + "\n")
    return len(numbers)


def numbered(folder: Path) -> dict[int, Path]:
    """The images in `folder` by the number in their names."""
    files = [file for file in folder.iterdir() if file.suffix.lower() in IMAGES]
    return {int("".join(filter(str.isdigit, file.stem))): file for file in files}


def read_boxes(file: Path) -> np.ndarray:
    """(N, 4) x, y, w, h of a file with a line `x y w h`, or x and y of four corners, for each image."""
    lines = file.read_text(encoding="latin1").replace(",", " ").replace(";", " ").splitlines()
    rows = np.array([[float(value) for value in line.split()] for line in lines if line.strip()])
    if rows.shape[1] == 4:
        return rows
    corners = rows.reshape(len(rows), 4, 2)
    return np.concatenate([corners.min(axis=1), np.ptp(corners, axis=1)], axis=1)


def smaller(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """The image in `file`, at most `LINES` high, and by what its width and height were multiplied."""
    image = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if image is None:
        raise CollectError(f"{file.name}: no image")
    height, width = image.shape[:2]
    if height <= LINES:
        return image, np.ones(2)
    size = round(width * LINES / height), LINES
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.array(size) / (width, height)


def box_text(box: np.ndarray) -> str:
    """A line of a box file without its frame: a box that is not a number, or has no area, is an absent target."""
    if np.isfinite(box).all() and (box[2:] > 1).all():
        return ",".join(f"{value:.2f}" for value in box) + ",1"
    return "0,0,0,0,0"


if __name__ == "__main__":
    sys.exit(main())
