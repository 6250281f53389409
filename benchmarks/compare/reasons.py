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
K_MEANS = (
    "Not tested. k-means follows the largest spread, which in a space of scores is the response to interferon; "
    "neighbours (kNN) are not misled by it."
)
MIXING = (
    "The response differs between cell types, and centring genes within batches takes out one shift for all cells. "
    "harmonypy on top of our scores mixes further at the same kNN; scVI mixes further still and loses kNN."
)
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
    ("T5", "small, ARI fine"): K_MEANS,
    ("T5", "small, ARI coarse"): K_MEANS,
    ("T5", "Kang, ARI coarse"): K_MEANS,
    ("T5", "biased, told, mixing"): MIXING,
    ("T5", "biased, harmony, mixing"): "Harmony mixes scores that hold less about cell types more; their kNN is lower.",
    ("T5", "even, harmony, mixing"): "Harmony mixes scores that hold less about cell types more; their kNN is lower.",
    (
        "T6",
        "subsample, scores",
    ): "What scores every cell by itself cannot depend on the other cells; ours moves by .002.",
    "T7": SIMPLE,
}
