"""The sentences of the page that no figure says: what was done and why figures are lost."""

OPENING = """\
Every method gets the same cells, genes and sets as files, in an environment and a process of its own, on one
thread. `python benchmarks/compare` runs all of it from a clean clone (`PATHWAYAE_DATA` names the folder of cells
and gene sets, see `data_registry`), `--quick` what needs no training in minutes; a peer is one file in
`benchmarks/compare/peers`. Defaults throughout: no method was tuned on anything that is reported
here; the defaults of ours were chosen on T1's *Kang*, on T5's kNN and on other collections and seeds than those of
T2 and T4 (`benchmarks/defaults.md`). Limits: {other:.0f} processor seconds without training,
{trained:.0f} with. Times are processor seconds, which do not depend on what else the machine does. Trained methods
were asked the small problems only; what is blank was not asked."""
EVEN = "A difference of a few thousandths: every method is at the ceiling here."
MOVED = (
    "Not tested. The score stands on the genes that go together, less the level of genes of like expression "
    "(*balance*): what it moves by is measured against a spread from which much noise has gone, and sets that lose "
    "against interferon move too."
)
CURVE = (
    "Tested: it is the curve of the logarithm, not noise, overlap or free components. Activities are planted in "
    "counts, and scores of logarithms bend them. With sets that are right the score of every linear method, bent by "
    "the best monotone curve, reaches .98 to .99; a t-value (ulm, mlm) is such a curve, its coefficient alone is at or "
    "below ours. cNMF alone is given counts: on the same cells its correlation of ranks is .689, ours .699. Least "
    "squares on the true loadings reaches .77 on logarithms, .95 on unlogged values; *pathwayae unlogged* below is our "
    "fit on the latter. On real cells unlogged values cost neighbours (PBMC3k .91 to .86) and the response in the "
    "worst cell type (.985 to .884), so the default keeps the logarithm; the square root costs neither and is "
    "halfway (.89). "
    "[What was tried](../benchmarks/lost.md)."
)
NOT_SETS = (
    "NMF reads no sets, so noise in them does not reach its loadings; planted programs share few genes, which suits "
    "it. On real cells it is far behind (Kang below)."
)
K_MEANS = (
    "Tested: k-means follows the largest spread, which is the response to interferon. Within either condition, or with "
    "principal components of equal spread, the same scores reach .98 (coarse; scVI .97 as it is), and so does PCA. "
    "Equal spread costs neighbours, so the scores stay as they are. Leiden does not help: it parts each type by "
    "condition. [What was tried](../benchmarks/lost.md)."
)
K_MEANS_FINE = (
    "Tested: half of it is the response to interferon (coarse types). What remains, .64 to .68 without it, is CD4 "
    "against CD8 T cells and the two monocytes. k-means parts them in cNMF's programs (.78) and, at equal spread, in "
    "MuVI's and expiMap's (.86, .82), not in ours nor in principal components (.64). "
    "[What was tried](../benchmarks/lost.md)."
)
CORNERS = (
    "Tested: taking the response out does not close it, within a condition ours is .173 and cNMF's .301. Its usages "
    "are non-negative and sum to 1, so that types lie in corners; ours spread along many directions, which "
    "neighbours use."
)
MIXING = (
    "The response differs between cell types, and centring genes within batches takes out one shift for all cells; "
    'where labels are known, `covariates=["cell_type"]` more than triples it at the same kNN. *pathwayae harmony* in '
    "the table, harmonypy on the scores of a fit without `batch_key` with `lamb=0.1`, mixes more than scVI and keeps "
    "more kNN: see *Batches* below."
)
RIDGE = (
    "Tested on other donors: harmony mixes scores that hold less about cell types more, and their kNN is lower; what "
    "keeps ours apart is its ridge. With `lamb=0.1` ours mix as much or more at the same kNN, see *Batches* below; a "
    "larger `theta` changes nothing. [What was tried](../benchmarks/lost.md)."
)
YOUR_OWN = """\
## Batches

Harmony on the scores of a fit that is not told of the batches, with a smaller ridge than its default of 1, mixed most
on donors that are not reported here (`benchmarks/lost.md`). `scanpy.external.pp.harmony_integrate` of scanpy 1.11 does
not take what harmonypy 2 gives back, so call harmonypy:

```python
pae.tl.fit(adata, pathways)
found = harmonypy.run_harmony(adata.obsm["X_pae"], adata.obs, "batch", lamb=0.1, random_state=0)
adata.obsm["X_pae_harmony"] = found.Z_corr
sc.pp.neighbors(adata, use_rep="X_pae_harmony")
```

Its columns are for neighbours and clusters alone: what harmony shifts is no longer a score of a pathway. Where a batch
is a treatment, it takes out the treatment too.

## A peer of your own

One file, `benchmarks/compare/peers/mine.py`:

```python
\"\"\"Mine: the first line says what it is.\"\"\"

from contract import Problem, Result

METHODS = ("mine",)
ENVIRONMENT, TRAINED = None, False  # or the name of a file in requirements/; trained methods are asked less
IMPORTS = VERSIONS = ()  # modules to import before the clock starts, distributions whose versions are shown


def run(problem: Problem, method: str) -> Result:
    scores = problem.dense() @ problem.membership()
    return Result(scores, list(problem.sets))
```

`problem` has `cells` (AnnData: log-normalised `X`, counts in a layer), `sets`, perhaps `new` cells and a `batch`
column; loadings (genes × components) are welcome too. What needs packages of its own names them with versions in
`benchmarks/compare/requirements/mine.txt`, and the runner makes that environment. Then
`python benchmarks/compare --peers mine ours --quick` writes `benchmarks/compare_quick.md`.

A clean clone needs `pip install -c constraints.txt -e ".[dev,test]"` first."""
SIMPLE = (
    "A mean of genes is one product of matrices and needs no moments of genes, no loadings and no evidence; of what is "
    "trained nothing is within a hundred times of ours."
)
LOST: dict[str | tuple[str, str], str] = {
    ("T1", "unrelated"): MOVED,
    ("T1", "small, unrelated"): MOVED,
    ("T1", "left-out donors"): EVEN,
    ("T1", "left-out type"): EVEN,
    ("T1", "small, worst"): EVEN,
    ("T1", "small, mean"): EVEN,
    ("T1", "donors, sign"): "Signs of sets that hardly move decide it; over ranks, which weigh what moves, ours agree.",
    ("T4", "small, fine"): (
        "Not tested. MuVI and expiMap fit all sets together, so that a set takes what its look-alikes leave over, and "
        "fine types lie in that; the same fits name coarse types worse."
    ),
    ("T2", "planted 0%, activity"): CURVE,
    ("T2", "planted 30%, activity"): CURVE,
    ("T2", "planted 30%, AP"): EVEN,
    ("T2", "planted 30%, hidden"): EVEN,
    ("T2", "planted 30%, false"): EVEN,
    ("T2", "planted 50%, AP"): NOT_SETS,
    ("T5", "small, ARI fine"): K_MEANS_FINE,
    ("T5", "small, ARI coarse"): K_MEANS,
    ("T5", "Kang, ARI coarse"): K_MEANS,
    ("T5", "small, kNN coarse"): "A difference of .002.",
    ("T5", "small, silhouette fine"): CORNERS,
    ("T5", "biased, told, mixing"): MIXING,
    ("T5", "biased, harmony, mixing"): RIDGE,
    ("T5", "even, harmony, mixing"): RIDGE,
    (
        "T6",
        "subsample, scores",
    ): "What scores every cell by itself cannot depend on the other cells; ours moves by .002.",
    "T7": SIMPLE,
}
