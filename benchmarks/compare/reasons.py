"""The sentences of the page that no figure says: what was done and why figures are lost."""

OPENING = """\
Every method gets the same cells, genes and sets as files, in an environment and a process of its own, on one
thread. `python benchmarks/compare` runs all of it from a clean clone (`PATHWAYAE_DATA` names the folder of cells
and gene sets, see `data_registry`), `--quick` a part of what needs no training, in some ten minutes with the two
environments that it makes; a peer is one file in `benchmarks/compare/peers`.

Defaults throughout: no method was tuned on anything that is reported here; the defaults of ours were chosen on T1's
*Kang*, on T5's kNN and on other collections and seeds than those of T2 and T4 (`benchmarks/defaults.md`). *refine* is
ranked in T2 and T3, *pathwayae* elsewhere, as fixed beforehand; *unlogged* and *harmony* are lines that a user can
write, shown beside and never ranked.

Limits: {other:.0f} processor seconds without training, {trained:.0f} with. Times are processor seconds of one thread
on a machine that others used too, not all in the same hour: read factors, not percents. Trained methods are asked the
small problems only; what is blank was not asked."""
EVEN = "A difference of a few thousandths: every method is at the ceiling here."
CONTROLS = (
    "Tested: most of it is *balance*. The genes of like expression that a score is compared with hold interferon's "
    "own, which rise from 13 to 28 % of the counts and press 27 of 31 sets down. With controls outside the two "
    "interferon sets .032 of the sets move, at the same response. Where counts of one set are planted and nothing "
    "else responds, .133 move, .062 with such controls, none without balance. No choice of controls without "
    "knowledge of the response is better everywhere: the three quarters of each bin with least covariance with their "
    "sum give .129 (planted .019) and cost sets of markers of cell types; without balance .161 move and the worst "
    "cell type of all cells falls from .985 to .884; `joint=True` gives .258. So the default stays, and what else "
    "moves is asked of a second fit that leaves out the genes that respond (see *What else moves* below): .065, as "
    "pyucell. [What was tried](../benchmarks/controls.md)."
)
PAIRS = (
    "Tested: {how}. Balance is what differs here: without it {off}, and with it the worst cell type of all cells is "
    ".985 in place of .884."
)
CURVE = (
    "Tested: it is the curve of the logarithm, not noise, overlap or free components. Activities are planted in "
    "counts, and scores of logarithms bend them. With sets that are right the score of every linear method, bent by "
    "the best monotone curve, reaches .98 to .99; a t-value (ulm, mlm) is such a curve, its coefficient alone is at or "
    "below ours. cNMF and expiMap are given counts; a usage of cNMF is linear in them: on the same cells its "
    "correlation of ranks is .689, ours .699, expiMap's score is bent otherwise (.800 at 30 %). Least "
    "squares on the true loadings reaches .77 on logarithms, .95 on unlogged values; *pathwayae unlogged* below is our "
    "fit on the latter. On real cells unlogged values cost neighbours (PBMC3k .91 to .86) and the response in the "
    "worst cell type (.985 to .884), so the default keeps the logarithm; the square root costs neither and is "
    "halfway (.89). "
    "[What was tried](../benchmarks/lost.md)."
)
NOT_SETS = (
    "NMF reads no sets, so noise in them does not reach its loadings; planted programs share few genes, which suits "
    "it. On real cells it is far behind (Kang below). `refine` adds fewer genes than it did, none that only marks a "
    "cell type and no more than a set's own: where half of the members are gone that costs (.985 before)."
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
## What else moves

Where one response is strong, its genes are among those that every other set is compared with. To ask what else moves,
fit again without them; the sets of the response itself are read from the first fit. On Kang's cells contrasts call 71
of 217 pairs of an unrelated set and a cell type different, 69 of them down; in the second fit 26
(`benchmarks/controls.md`).

```python
known = [gene for name in pathways if "INTERFERON" in name for gene in pathways[name]]
pae.tl.fit(adata, pathways)
pae.tl.fit(adata, pathways, mask_var=~adata.var_names.isin(known), key_added="rest")
pae.tl.rank_pathways(adata, "condition", sample_key="donor", within="cell_type", key="rest")
```

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

One file in `benchmarks/compare/peers`, say `mine.py`:

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
`mine.txt` of `benchmarks/compare/requirements`, and the runner makes that environment. Then
`python benchmarks/compare --peers mine ours --quick` writes `compare_quick.md` in `benchmarks`.

A clean clone needs `pip install -c constraints.txt -e ".[dev,test]"` first."""
SIMPLE = (
    "A mean of genes is one product of matrices; the scores alone are a tenth of our time. Measured, 1 000 cells: of "
    ".32 s .09 are the moments of the genes, .07 free components, .05 the leading directions of their correlations, "
    ".04 evidence on genes outside the sets, .03 scores, .02 what is said of the quality of each score. It is no "
    "fixed cost: 400 genes take .06 s. Of what is trained nothing is within a hundred times of ours."
)
MANY = (
    "PCA and NMF do not read the sets. Measured, of 5.9 s with 5 000 sets 2.5 are the evidence on genes outside the "
    "sets, 1.0 what the scores explain (before: 3.7, most of it what all of them explain together; now from the few "
    "directions of the genes that none has), .5 how far sets repeat each other, .2 matching of names and .2 the scores."
)
LOST: dict[str | tuple[str, str], str] = {
    ("T1", "unrelated"): CONTROLS,
    ("T1", "small, unrelated"): (
        "As with all donors: controls that respond press 18 of 20 sets down. With controls outside the interferon sets "
        ".100 of them move, without balance .050, with `joint=True` .200, in a second fit as described below .100."
    ),
    ("T1", "left-out donors"): PAIRS.format(
        how="44 of 24 728 pairs of a stimulated and a control cell of one type are in the wrong order, 11 of them in "
        "the two smallest types that have any, where each weighs most in the mean over types",
        off="it is .997, and 163 pairs are wrong",
    ),
    ("T1", "left-out type"): PAIRS.format(
        how="33 of 12 528 pairs of a stimulated and a control B cell are in the wrong order", off="it is 4"
    ),
    ("T1", "small, worst"): (
        "Tested: `scale=None` gives .991, without balance it is .982. The largest spread of these cells is the "
        "response, so that a principal component of all genes, or of the set's, is the response itself, on these "
        "cells; on those of all donors it is behind (.930, .895; ours .985)."
    ),
    ("T1", "small, mean"): EVEN,
    ("T1", "donors, sign"): (
        "Tested: what drags all sets down in all donors (see *unrelated*) counts as agreement. With controls outside "
        "the interferon sets score_genes falls from .914 to .809, ours from .825 to .804. Of the sets that move .2 "
        "standard deviations or more .950 agree (score_genes .961, mean of genes .942), of the others .62 (.70, .62). "
        "[What was tried](../benchmarks/controls.md)."
    ),
    ("T1", "donors, rank"): (
        "Tested: what drags all sets down in all donors (see *unrelated*) counts as agreement here too; with controls "
        "that do not respond ours is .799. Genes that are not scaled (`scale=None`) give .852 and a sign of .848, and "
        "cost neighbours (`benchmarks/defaults.md`)."
    ),
    ("T3", "small, AUROC"): (
        "The fit without `refine` is first (.757). Tested: it is how well genes are seen. A gene's mean, variance and "
        "shared variance alone reach .680 here, what the cells say of the set .690, both together .753; `refine` lets "
        "the former speak against a gene and never for it (.739 before). Among the first 50 and 200 genes, where they "
        "say little, ours is first. [What was tried](../benchmarks/heldout.md)."
    ),
    ("T3", "small, recall@200"): (
        "Tested: chance. The 63 sets hide 386 genes, five each; over sets the difference is −.004, with a bootstrap "
        "interval of −.064 to .055, and 20 sets are ahead, 21 behind. Of all hidden genes together ours finds .497 "
        "(the fit without `refine` .518), zscore .495; among the first 50 ours is ahead by .046 (.062)."
    ),
    ("T4", "small, fine"): (
        "Tested: three pairs, of which one decides, *Macrophages* in FCGR3A+ against CD14+ monocytes: MuVI .950, ours "
        ".549, all others .26 to .60. MuVI's factor is no score of macrophages: it is lower in CD14+ monocytes than "
        "in B cells (coarse .424, ours .993), goes with the mean of the set by r = .18 (ours .95), and weighs CCL2 "
        "and S100A8 against FCGR3A; of the set's 41 genes 13 are higher in FCGR3A+ cells (AUROC above .55) and 12 "
        "lower (below .45). On the other two pairs ours is .943, MuVI .930. `joint=True` gives .833 fine and .910 "
        'coarse, `scores="projection"` .846 and .946; both name coarse types worse on other collections too '
        "(`benchmarks/judge.md`, `benchmarks/defaults.md`)."
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
    ("T5", "biased, told, kNN"): (
        "A difference of .003 (DRVI) and less; DRVI, an embedding without names, is told of the batches too."
    ),
    ("T5", "biased, told, mixing"): MIXING,
    ("T5", "biased, harmony, mixing"): RIDGE,
    ("T5", "even, harmony, mixing"): RIDGE,
    (
        "T6",
        "subsample, scores",
    ): "What scores every cell by itself cannot depend on the other cells; ours moves by .002.",
    ("T7", "1000 cells, s"): SIMPLE,
    ("T7", "5000 sets, s"): MANY,
    ("T7", "100000 cells, MiB"): (
        "pyucell ranks a few cells at a time and keeps its scores; ours also keeps the Gram matrix of 2 000 genes in "
        "float64 (31 MiB), loadings and encoder."
    ),
    ("T7", "100000 cells, s"): (
        "The Gram matrix of 2 000 genes is most of it, 54 % of the values of these cells not being 0; a mean of genes "
        "reads them once. All else that was asked takes longer or did not end."
    ),
    "T7": "As with 1 000 cells and 50 sets, or between these and 5 000 sets.",
}
