"""Tiny trees of frames in files, in the layouts that the readers of such trees take."""

import os
import time

import cv2
import numpy as np

SIZE = 64, 48  # width, height
BOX = 20, 12, 10, 16  # x, y, w, h of the bright target in frame 0; it moves right by a pixel a frame


def box(index, shift=0):
    return BOX[0] + index % 20 + shift, BOX[1], BOX[2], BOX[3]


def frame(index, shift=0, depth=np.uint8):
    """A dim image, unlike any other frame's, with the bright target."""
    image = np.full(SIZE[::-1], 40 + index % 7, depth)
    x, y, w, h = box(index, shift)
    image[y : y + h, x : x + w] = 240
    return image * 257 if depth == np.uint16 else image


def write_frames(folder, names, shift=0, depth=np.uint8):
    folder.mkdir(parents=True)
    for index, name in enumerate(names):
        image = frame(index, shift, depth)
        cv2.imwrite(str(folder / name), image, [cv2.IMWRITE_JPEG_QUALITY, 95] if name.endswith("jpg") else [])


def write_lines(file, boxes, separator=","):
    file.write_text("".join(separator.join(f"{v:g}" for v in numbers) + "\n" for numbers in boxes))


def write_table(file, rows):
    file.write_text("frame,x,y,w,h,visible\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))


def age(root, seconds=3600):
    """Make everything under `root` look as if it had been there for long: what is quite new is never indexed."""
    then = time.time() - seconds
    for path in [root, *root.rglob("*")]:
        os.utime(path, (then, then))
