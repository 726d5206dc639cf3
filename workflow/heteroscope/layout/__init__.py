"""From ids to files: where every result stands, and which files a study rests on.

Rules ask a `Layout` with their wildcards: of images, networks and embeddings (`paths`), of studies (`studies`), of what
runs beside the clusters (`branches`).
"""

from __future__ import annotations

from dataclasses import dataclass

from heteroscope.layout.branches import Branches
from heteroscope.layout.files import END_TO_END, FEATURE_FILES, FIGURES_OF_CLUSTERING, NETWORK_FILES, SHOWN_OF_BRANCHES

__all__ = ["END_TO_END", "FEATURE_FILES", "FIGURES_OF_CLUSTERING", "NETWORK_FILES", "SHOWN_OF_BRANCHES", "Layout"]


@dataclass(frozen=True)
class Layout(Branches):
    """The paths of a configuration's results, relative to the working directory."""
