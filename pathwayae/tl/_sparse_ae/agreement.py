"""Whether the latents of a sparse autoencoder come back when it is trained again."""

from __future__ import annotations

import logging
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from pathwayae import _checks, _progress
from pathwayae._cells.minibatches import training_cells
from pathwayae._slots import keys, store
from pathwayae._slots.sparse_ae import codes as codes_of_cells
from pathwayae._slots.sparse_ae import fitted
from pathwayae.core.gates import gated
from pathwayae.core.sparse_ae import agreement as core
from pathwayae.core.sparse_ae.network import features
from pathwayae.core.sparse_ae.settings import Config
from pathwayae.core.sparse_ae.training import train
from pathwayae.tl._sparse_ae.transform import on_genes_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData

logger = logging.getLogger("pathwayae")


@gated()
def latent_agreement(
    adata: AnnData,
    *,
    n_refits: int = 4,
    min_cosine: float = core.FOUND,
    device: str = "auto",
    random_state: int = 0,
    progress: bool = True,
    key: str = keys.SPARSE_AE,
    copy: bool = False,
) -> AnnData | None:
    r"""Train the network again from other seeds, and see which latents come back.

    The network is trained `n_refits` times with the settings of the fit, all refits as one batched problem, from other
    starts and on other minibatches. What the latents of the fit add to a cell, :math:`\mathrm{decode}(e_j) -
    \mathrm{decode}(0)`, is paired one to one with that of each refit so that the sum of cosines is largest (Hungarian
    method, Kuhn 1955). The same is done with random directions of the same second moments, which tells how alike
    latents are by chance: much, where dimensions are few. A latent that does not come back may still describe these
    cells: sparse codes of the same cells are not unique, above all where latents are many and cells few.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.sparse_ae``, with what it was trained on; genes that are gone from it are left out.
    n_refits
        Number of refits.
    min_cosine
        Cosine, from −1 to 1, from which on a latent counts as found again.
    device
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    random_state
        The seeds of the refits follow that of the fit after so many.
    progress
        Show a progress bar on a terminal or in a notebook.
    key
        Key of the fit.
    copy
        Return a changed copy and leave `adata` as it is.

    Returns
    -------
    anndata.AnnData or None
        With ``uns[key]["latent_agreement"]``, which replaces that of an earlier call, a row per latent: ``latent``;
        ``cosine`` and ``cosine_min`` with its partners, mean and smallest over the refits; ``found`` (share of the
        refits in which it comes back) and ``stable`` (in more than half of them); ``chance`` (its cosine with its
        partner among random directions); ``fires`` (in any of these cells; a
        latent that does not cannot be expected to come back).

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, or what it was trained on is gone.
    TypeError, ValueError
        If a number is out of range, or the cells do not vary.

    See Also
    --------
    pathwayae.get.latent_agreement

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 200, 6)
    >>> pae.tl.sparse_ae(adata, n_latents=32, k=4, n_epochs=5, progress=False)
    >>> pae.tl.latent_agreement(adata, n_refits=2, progress=False)
    >>> sorted(set(pae.get.latent_agreement(adata)["found"])) <= [0.0, 0.5, 1.0]
    True
    """
    _checks.number("n_refits", n_refits, 1, integer=True)
    _checks.number("min_cosine", min_cosine, -1, 1)
    _checks.number("random_state", random_state, 0, integer=True)
    device = _checks.device(device)
    codes = codes_of_cells(adata, key)
    model = fitted(adata, key)
    cells, network = on_genes_of(adata, model)
    seed = int(model.params["random_state"])
    first = seed + 1 + random_state
    read = training_cells(cells, held_out=float(model.params["held_out"]), seed=seed, device=device, progress=progress)
    configs = [_config(model.params, seed=first + i, device=device) for i in range(n_refits)]
    with _progress.bar("refits", "epochs", configs[0].n_epochs, progress=progress) as bar:
        refits = train(read, configs, order=first, progress=lambda *_: _advance(bar))
    dictionaries = [features(fit.network) for fit in refits]
    table = core.agreement(features(network), dictionaries, found=min_cosine, seed=seed)
    table.insert(0, "latent", model.latents)
    table["fires"] = np.asarray(codes.sum(axis=0)).ravel() > 0
    used = table.loc[table["fires"], "stable"]
    logger.info("%d of %d latents that fire come back in most refits.", used.sum(), len(used))
    target = adata.copy() if copy else adata
    store.add(target, key, {keys.LATENT_AGREEMENT: table})
    return target if copy else None


def _advance(bar: Any) -> None:
    bar.update()


def _config(params: Mapping[str, Any], *, seed: int, device: str) -> Config:
    """Settings of the fit with another seed."""
    known = {field.name for field in fields(Config)}
    own = {name: None if isinstance(value, str) and not value else value for name, value in params.items()}
    own = {name: value for name, value in own.items() if name in known}
    hidden = tuple(int(size) for size in np.ravel(params["hidden"]))
    changed: dict[str, Any] = own | {"hidden": hidden, "seed": seed, "device": device}
    return Config(**changed)
