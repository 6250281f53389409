"""expiMap (scArches 0.6.1), hard and soft mask, with the values of its tutorial; counts of all genes.

``alpha_l1`` is set for the soft mask (0.4, the middle of what its authors try): without it the mask never acts. Signs
are those of ``latent_directions``. ``anndata.read``, which it imports, is gone and is put back before the import.
"""

from __future__ import annotations

import numpy as np
from contract import Problem, Result

METHODS = ("expiMap hard", "expiMap soft")
ENVIRONMENT, TRAINED = "scarches", True
BATCHES = METHODS
IMPORTS, VERSIONS = (), ("scArches",)
EPOCHS, PATIENCE = 400, 50


def run(problem: Problem, method: str) -> Result:
    import anndata as ad

    if not hasattr(ad, "read"):
        ad.read = ad.read_h5ad
    import scarches

    def as_counts(cells):
        found = ad.AnnData(np.asarray(cells.layers["counts"].toarray(), np.float32), obs=cells.obs.copy())
        found.var_names = cells.var_names
        found.obs["study"] = cells.obs[problem.batch].astype(str) if problem.batch else "one"
        return found

    cells = as_counts(problem.cells)
    cells.varm["I"] = problem.membership().astype(float)
    soft = method == "expiMap soft"
    model = scarches.models.EXPIMAP(
        cells, condition_key="study", hidden_layer_sizes=[256, 256], recon_loss="nb", mask_key="I", soft_mask=soft
    )
    stopping = {"early_stopping_metric": "val_unweighted_loss", "threshold": 0, "patience": PATIENCE}
    stopping |= {"reduce_lr": True, "lr_patience": 13, "lr_factor": 0.1}
    more = {"alpha_l1": 0.4} if soft else {}
    model.train(
        n_epochs=EPOCHS, alpha_epoch_anneal=100, alpha=0.7, alpha_kl=0.5, weight_decay=0.0, use_early_stopping=True,
        early_stopping_kwargs=stopping, monitor_only_val=False, seed=problem.seed, print_stats=False, **more,
    )  # fmt: skip
    model.latent_directions(adata=cells)
    signs = np.where(np.asarray(cells.uns["directions"]) < 0, -1.0, 1.0)
    scores = model.get_latent(cells.X, cells.obs["study"].to_numpy(), mean=True) * signs
    loadings = model.model.decoder.L0.expr_L.weight.data.cpu().numpy() * signs
    new = None
    if problem.new is not None:
        other = as_counts(problem.new)
        new = model.get_latent(other.X, other.obs["study"].to_numpy(), mean=True) * signs
    return Result(scores, list(problem.sets), loadings, new)
