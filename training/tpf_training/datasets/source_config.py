"""Where a source of samples is and how often it is drawn."""

import math
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SourceConfig:
    """weight: how often the source is drawn beside the others, 0 or more; 0: it is not read at all.

    root: its folder; a relative one lies below the training data's, None is the one there that has the source's name.
    split: what of it to take: the name of a folder in `root`, or a file, absolute or in `root`, that lists sequences,
    one a line; None: all that lies directly in `root`. licence: on which terms its data may be used, for the weights'
    card; None: what is known of data in this source's layout. ValueError for a weight that is none.
    """

    weight: float
    root: Path | None = None
    split: Path | str | None = None
    licence: str | None = None

    def __post_init__(self):
        if not (math.isfinite(self.weight) and self.weight >= 0):
            raise ValueError(f"weight of a source is {self.weight}, must be 0 or more")
