"""One page that says what a fit found: data gathered through ``get``, drawn by ``pl``, written as HTML."""

from pathwayae._report.write import report

__all__ = ["report"]
