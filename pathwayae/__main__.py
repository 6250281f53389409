"""``python -m pathwayae``."""

from pathwayae.cli import main

main()
