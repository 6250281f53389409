"""What the tests of plots share."""

from fitted import NAMES, fitted_adata, member_sets

from pathwayae import get
from pathwayae.core import enrichment as core


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
    adata.uns["pae"]["enrichment"] = core.ora(*args, n_genes=20) if method == "ora" else core.prerank(*args)
    return adata
