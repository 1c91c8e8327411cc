"""The clip that ships with the source code."""

from pathlib import Path

CLIP = Path(__file__).resolve().parents[1] / "test/data/0117_1620"
