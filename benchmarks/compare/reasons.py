"""The sentences of the page that no figure says: what was done and why figures are lost."""

OPENING = """\
Every method gets the same cells, genes and sets as files, in an environment and a process of its own, on one
thread. `python benchmarks/compare` runs all of it from a clean clone (`PATHWAYAE_DATA` names the folder of cells
and gene sets, see `data_registry`), `--quick` what needs no training in minutes; a peer is one file in
`benchmarks/compare/peers`. Defaults throughout: no method was tuned, ours neither, on anything that is reported
here but the collections marked *looked at* in T4. Limits: {other:.0f} processor seconds without training,
{trained:.0f} with. Times are processor seconds, which do not depend on what else the machine does. Trained methods
were asked the small problems only; what is blank was not asked."""
LOST: dict[str | tuple[str, str], str] = {}
