"""Offline images: videos, folders of frames, topics of rosbags; opened by `open_source`, paired by `pairing.py`."""

from pathlib import Path

from tpf_ros.sources.bag import BagSource, is_bag
from tpf_ros.sources.folder import FolderSource
from tpf_ros.sources.source import Item, Modality, Source, SourceError
from tpf_ros.sources.video import VideoSource

__all__ = ["ACCEPTED", "Item", "Modality", "Source", "SourceError", "open_source", "split_topic"]

ACCEPTED = "a video, a folder of frames, or a rosbag (mcap, sqlite3, ROS 1) as BAG or BAG:/topic"


def open_source(argument: str, modality: Modality, folder_rate: float = 30.0) -> Source:
    """Open what `argument` names, for the `modality` camera; SourceError says what is wrong with it.

    A rosbag's topic follows a colon, and may be left out where it is the only one that fits. `folder_rate` gives a
    folder's frames their stamps, in frames a second.
    """
    path, topic = split_topic(argument)
    if not path.exists():
        raise SourceError(f"{modality} input {path} does not exist; accepted: {ACCEPTED}")
    if is_bag(path):
        return BagSource(path, topic, modality)
    if topic is not None:
        raise SourceError(f"{modality} input {argument}: {path} is not a rosbag, it has no topics")
    if path.is_dir():
        return FolderSource(path, modality, folder_rate)
    return VideoSource(path, modality)


def split_topic(argument: str) -> tuple[Path, str | None]:
    """The path in an argument of `open_source`, and the topic after it."""
    path, _, topic = argument.rpartition(":")
    if not path or not topic or Path(argument).exists():
        return Path(argument), None
    return Path(path), topic
