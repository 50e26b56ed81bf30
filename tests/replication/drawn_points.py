"""What a figure shows, for tests: the points that are drawn with error bars or markers."""

from __future__ import annotations

import numpy as np
from matplotlib.container import ErrorbarContainer


def points_of(axes):
    """`(points, 2)` places of all points with error bars, in the order in which they were drawn."""
    bars = [container for container in axes.containers if isinstance(container, ErrorbarContainer)]
    return np.concatenate([container.lines[0].get_xydata() for container in bars])


def names_of(axes):
    """Names in the legend's order of what is drawn."""
    return axes.get_legend_handles_labels()[1]
