"""Where the cards of data sets and gene-set collections lie, and the files that travel with the package."""

from __future__ import annotations

from pathlib import Path


def folder() -> Path:
    """Folder of the registry: inside the package (wheel), else beside it (source checkout, editable install).

    Raises
    ------
    FileNotFoundError
        If it is in neither place.
    """
    package = Path(__file__).parent
    places = (package / "data_registry", package.parent / "data_registry")
    for place in places:
        if place.is_dir():
            return place
    msg = (
        f"The registry of data sets is neither {places[0]} nor {places[1]}: the installation is incomplete. "
        "Install pathwayae again from a wheel or from its repository."
    )
    raise FileNotFoundError(msg)
