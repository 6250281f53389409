"""An AnnData with every slot of a refinement, made by hand on the fit of :mod:`fitted`."""

import numpy as np
import pandas as pd
from fitted import PATHWAYS, fitted_adata
from scipy.special import expit

from pathwayae.core.evidence.calls import CALLS, calls


def refined_adata(**options):
    """Members of the first pathways are told apart by the evidence, those of the last are not."""
    adata = fitted_adata(**options)
    rng = np.random.default_rng(3)
    member = adata.varm["pae_membership"].toarray()
    strength = np.linspace(3.0, 0.0, len(PATHWAYS))
    true = member ^ (rng.random(member.shape) < np.where(member, 0.3, 0.01))
    evidence = strength * (2.0 * true - 1.0) + strength * 0.6 * rng.normal(size=member.shape) + 0.01
    prior = np.where(member, 1.0, -3.0) + 0.4 * rng.normal(size=member.shape)
    evidence[-10:], prior[-10:] = 0.0, 0.0
    prior, evidence = prior.astype(np.float32), evidence.astype(np.float32)
    posterior = expit(prior.astype(float) + evidence)
    call = np.zeros(member.shape, dtype=np.int8)
    call[:-10] = calls(member[:-10], posterior[:-10], evidence=evidence[:-10].astype(float), fdr=0.1)
    posterior[-10:] = 0.0
    adata.varm["pae_prior"], adata.varm["pae_evidence"] = prior, evidence
    adata.varm["pae_posterior"], adata.varm["pae_call"] = posterior.astype(np.float32), call
    auc = np.linspace(0.95, 0.45, len(PATHWAYS))
    table = pd.DataFrame({"pathway": PATHWAYS, "n_genes": member.sum(axis=0), "heldout_auc": auc, "heldout_se": 0.06})
    table["annotated_share"], table["false_share"] = 0.8, 0.2
    table["pval"] = table["padj"] = np.where(auc > 0.6, 0.001, 0.5)
    table["verdict"] = np.where(auc > 0.6, "carried", "not carried").astype(object)
    for code, name in enumerate(CALLS):
        table[f"n_{name}"] = ((call == code) & (member | (code > 0))).sum(axis=0)
    adata.uns["pae"]["refinement"] = table
    adata.uns["pae"]["refinement_params"] = {"sample_key": "", "batch_key": "", "within": False, "fdr": 0.1}
    return adata
