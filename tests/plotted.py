"""What the tests of plots share."""

import numpy as np
import pandas as pd
from anndata import AnnData
from fitted import NAMES, fitted_adata, member_sets

from pathwayae import get
from pathwayae.core.enrichment.ora import ora
from pathwayae.core.enrichment.prerank import prerank
from pathwayae.core.genesets.collection import GeneSetCollection

GENES = [f"GENE{i}" for i in range(40)]
PVAL = [0.001, 0.5, 0.02, 0.001, 0.9, 0.3, 0.04]
PADJ = [0.004, 0.6, 0.05, 0.004, 0.9, 0.42, 0.07]
Z = [5.0, 0.1, 2.0, 9.0, -1.0, 0.5, 1.8]


def flat(text):
    """A label without the line breaks of the wrapping."""
    return "".join(text.split())


def genes_of(adata, name):
    """What stands under the name of a pathway in a panel of loadings; nothing for a free component."""
    table = get.pathways(adata).set_index("pathway")
    if name not in table.index:
        return ""
    return f"{table.loc[name, 'n_effective']:.0f} effective of {table.loc[name, 'n_matched']} genes"


def labels(ticks):
    return [flat(tick.get_text()) for tick in ticks]


def enriched(method="ora"):
    adata = fitted_adata()
    values = get.loadings(adata).iloc[:140]
    args = (values.to_numpy(), values.index.tolist(), NAMES, member_sets(adata))
    adata.uns["pae"]["enrichment"] = ora(*args, n_genes=20) if method == "ora" else prerank(*args)
    return adata


def relevant():
    """A fit with every pathway tested."""
    adata = fitted_adata()
    rng = np.random.default_rng(0)

    def with_free(values):
        return [*values, np.nan, np.nan]

    low = rng.uniform(-0.02, 0.0, 7)
    adata.uns["pae"]["relevance"] = pd.DataFrame(
        {
            "component": NAMES,
            "statistic": with_free(rng.uniform(-0.01, 0.3, 7)),
            "null_mean": with_free(low + 0.02),
            "null_low": with_free(low),
            "null_high": with_free(low + 0.05),
            "z": with_free(Z),
            "pval": with_free(PVAL),
            "padj": with_free(PADJ),
            "heldout_variance": rng.uniform(0, 0.1, 9),
            "heldout_se": rng.uniform(0, 0.01, 9),
            "heldout_unique": rng.normal(0, 0.01, 9),
            "heldout_unique_se": rng.uniform(0, 0.001, 9),
        }
    )
    return adata


def with_paths():
    """A fit with several θ and numbers of free components tried."""
    adata = fitted_adata()
    theta = np.array([0.1, 0.3, 0.5])
    adata.uns["pae"]["theta_path"] = pd.DataFrame(
        {"theta": theta, "heldout_error": [0.61, 0.62, 0.66], "se": 0.01, "auc": [0.8, 0.84, 0.7], "auc_se": 0.02}
        | {"correlation": [0.3, 0.34, 0.2], "correlation_se": 0.02}
        | {"inside": theta, "as_good": theta == 0.3, "chosen": theta == 0.3}
    )
    number = np.arange(6)
    adata.uns["pae"]["n_extra_path"] = pd.DataFrame(
        {"n_extra": number, "explained": 0.3 + number / 20, "heldout_explained": 0.3 + number / 40}
        | {"predicted": [0.1, 0.2, 0.22, 0.21, 0.19, 0.15], "se": 0.005, "chosen": number == 2}
    )
    return adata


def long_names():
    """Gene sets, most of them with names that need room."""
    rng = np.random.default_rng(0)
    sets = {f"REACTOME_A_VERY_LONG_NAME_OF_A_PATHWAY/{j}_THAT_GOES_ON_AND_ON_$": rng.choice(GENES, 8) for j in range(9)}
    return GeneSetCollection({**sets, "pair 1": GENES[:7], "pair 2": GENES[:8], "small": ["GENE1", "LOST"]})


def without_values():
    """Cells with some of their genes, and one more."""
    names = [*GENES[:30], "ACTB"]
    return AnnData(np.zeros((2, 31), np.float32), var=pd.DataFrame({"symbol": names}, index=names))
