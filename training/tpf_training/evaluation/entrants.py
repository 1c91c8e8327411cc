"""Who takes part in a comparison: small descriptions of trackers that open themselves, in whichever process."""

from dataclasses import dataclass
from pathlib import Path

import cv2

from tpf_model.runtime import open_session
from tpf_model.tracker import TrackerConfig
from tpf_training.evaluation.one_pass import EvaluationError, OnePassTracker, Sequence
from tpf_training.evaluation.peers import PeerTracker
from tpf_training.evaluation.tpf_tracker import TPFTracker, tracker_config


@dataclass(frozen=True)
class TPFEntrant:
    """One of our models: the variant `model` with its shipped weights, or, with `model` AUTO, what `weights` holds.

    ndtu, published, template_interval: see `tracker_config`. runtime, precision, device, threads: see `open_session`.
    step: of the sequences, see `VideoSequence`.
    """

    name: str
    model: str
    weights: Path | None = None
    ndtu: bool = True
    published: bool = False
    template_interval: int = TrackerConfig.template_interval
    runtime: str = "auto"
    precision: str = "auto"
    device: str = "auto"
    threads: int = 0
    step: int = 1

    def open(self) -> TPFTracker:
        """EvaluationError where the model or its weights cannot be loaded, or not run as is asked for."""
        _limit_opencv(self.threads)
        try:
            session = open_session(
                self.model, self.device, self.runtime, self.weights, self.threads, precision=self.precision
            )
        except ValueError as error:
            raise EvaluationError(f"{self.name}: {error}") from error
        config = tracker_config(self.ndtu, self.published, self.template_interval)
        return TPFTracker(session, config, self.step)

    def suits(self, sequence: Sequence) -> bool:
        return True


@dataclass(frozen=True)
class PeerEntrant:
    """One of `PEERS` on one of `PEER_INPUTS`. threads: of this whole process's OpenCV, 0 leaves its default."""

    peer: str
    source: str
    nanotrack: Path | None = None
    threads: int = 0

    @property
    def name(self) -> str:
        return f"{self.peer}/{self.source}"

    def open(self) -> OnePassTracker:
        """EvaluationError where the peer cannot run here."""
        _limit_opencv(self.threads)
        return PeerTracker(self.peer, self.source, self.nanotrack)

    def suits(self, sequence: Sequence) -> bool:
        """With one image there is nothing to average: that stands for all three inputs then."""
        return self.source == "average" or len(sequence.modalities) == 2


def _limit_opencv(threads: int) -> None:
    if threads:
        cv2.setNumThreads(threads)


Entrant = TPFEntrant | PeerEntrant
