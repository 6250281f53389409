"""Whether latents come back when a network is trained again from another seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

FOUND = 0.8  # cosine from which on two latents are the same

Floats = NDArray[np.float64]


def cosines(first: NDArray[np.floating], second: NDArray[np.floating]) -> Floats:
    """Cosines between the rows of two dictionaries, shape (m₁, m₂); 0 for a row of zeros."""
    return _unit(first) @ _unit(second).T


def match(first: NDArray[np.floating], second: NDArray[np.floating]) -> tuple[NDArray[np.intp], Floats]:
    """Pair the rows of two dictionaries one to one so that the sum of their cosines is largest (Hungarian method).

    Parameters
    ----------
    first, second
        Dictionaries, latents × features, shapes (m₁, d) and (m₂, d).

    Returns
    -------
    Partner of each row of the first in the second (−1 where it is smaller and has none left), and their cosine (0).

    References
    ----------
    Kuhn 1955, 10.1002/nav.3800020109; for dictionaries of sparse autoencoders arXiv:2501.16615.

    Examples
    --------
    >>> partner, cosine = match(np.eye(3), np.eye(3)[[2, 0, 1]])
    >>> partner.tolist(), cosine.tolist()
    ([1, 2, 0], [1.0, 1.0, 1.0])
    """
    values = cosines(first, second)
    rows, columns = linear_sum_assignment(values, maximize=True)
    partner = np.full(len(values), -1, dtype=np.intp)
    partner[rows] = columns
    return partner, np.where(partner >= 0, values[np.arange(len(values)), partner], 0.0)


def agreement(
    reference: NDArray[np.floating], refits: Sequence[NDArray[np.floating]], *, found: float = FOUND, seed: int = 0
) -> pd.DataFrame:
    """How well each latent of a dictionary is found again in others.

    Parameters
    ----------
    reference
        Dictionary, latents × features, shape (m, d).
    refits
        Dictionaries of other seeds, each (m', d), at least one.
    found
        Cosine from which on a latent counts as found.
    seed
        Of the random dictionary.

    Returns
    -------
    pandas.DataFrame
        A row per latent: ``cosine`` (mean with its partners over the refits), ``cosine_min``, ``found`` (share of
        refits in which the cosine is at least `found`), ``stable`` (found in more than half of them), and ``chance``,
        its cosine with its partner in a random dictionary (:func:`random_like` the first refit).

    Raises
    ------
    ValueError
        If there is no refit, or its features are others.
    """
    if not refits:
        msg = "At least one refit is needed to compare with."
        raise ValueError(msg)
    if any(one.shape[1] != reference.shape[1] for one in refits):
        msg = f"All dictionaries must have {reference.shape[1]} features, got {[one.shape[1] for one in refits]}."
        raise ValueError(msg)
    table = np.stack([match(reference, one)[1] for one in refits], axis=1)
    share = np.mean(table >= found, axis=1)
    return pd.DataFrame(
        {
            "cosine": table.mean(axis=1),
            "cosine_min": table.min(axis=1),
            "found": share,
            "stable": share > 0.5,
            "chance": match(reference, random_like(refits[0], seed))[1],
        }
    )


def random_like(dictionary: NDArray[np.floating], seed: int) -> Floats:
    """As many rows drawn from a normal distribution with the second moments ``DᵀD / m`` of a dictionary's rows.

    Latents of two dictionaries in few or correlated dimensions are alike by chance; this is how much.
    """
    wide = np.asarray(dictionary, dtype=np.float64)
    # Normal mixtures of the rows have these moments, and need no d × d matrix.
    mixture = np.random.default_rng(seed).normal(size=(len(wide), len(wide)))
    return mixture @ wide / np.sqrt(len(wide))


def _unit(rows: NDArray[np.floating]) -> Floats:
    wide = np.asarray(rows, dtype=np.float64)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.divide(wide, length, out=np.zeros_like(wide), where=length > 0)
