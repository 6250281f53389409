"""Plots of ``pl`` as pictures of a page."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

from pathwayae._report.contents import Figure

DPI = 90
STYLE: Any = {"savefig.facecolor": "white", "figure.facecolor": "white", "text.color": "black"}


def figure(draw: Callable[[], Any], alt: str, caption: str) -> Figure:
    """The figure that ``draw`` makes; it is closed, and so are those of a plot that fails."""
    before = set(plt.get_fignums())
    try:
        with mpl.rc_context(STYLE):
            axes = np.ravel(np.asarray(draw(), dtype=object))
            buffer = BytesIO()
            axes[0].figure.savefig(buffer, format="png", dpi=DPI, bbox_inches="tight", metadata={"Software": None})
    finally:
        for number in set(plt.get_fignums()) - before:
            plt.close(number)
    return Figure(buffer.getvalue(), alt, caption)
