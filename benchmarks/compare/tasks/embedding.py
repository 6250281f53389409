"""T5: cells in the space of the scores."""

from __future__ import annotations

import warnings

import counts
import numpy as np
import pandas as pd
from results import Get
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.neighbors import NearestNeighbors

TITLE = "T5 Embedding"
TEXT = """\
All components of a method (ours: pathways and 20 free ones), as they are; of more than 30 the first 30 principal
components of them, so that all have equal width.
- *kNN*: balanced accuracy of the type of the 15 nearest neighbours, five folds; *ARI*: of k-means (as many clusters
  as types); *silhouette* of types. Fine types as labelled; coarse: T and NK, monocytes and dendritic cells, each as
  one.
- *mixing*: two donors of Kang, condition as batch; among the 30 nearest neighbours of a cell that are of its type,
  the share from the other batch over that batch's share of the type, at most 1; mean over cell types. *even*: all
  cells; *biased*: 90 % of B cells taken out of one batch and 90 % of CD14+ monocytes out of the other. *told*: the
  method is given the batches; *harmony*: harmonypy on the embedding of a method that is not. *kNN* is that of cell
  types in the same embedding."""
CELLS = {"PBMC3k": "names PBMC3k, Hallmark", "Kang": "kang", "small": "small"}
BATCHES = {kind: {told: f"batches {kind} {told}" for told in ("told", "untold")} for kind in ("even", "biased")}
PROBLEMS = (*CELLS.values(), *(name for part in BATCHES.values() for name in part.values()))
QUICK = (CELLS["small"], BATCHES["biased"]["told"], BATCHES["biased"]["untold"])
TRAINED, SEEDED = (CELLS["small"], BATCHES["biased"]["told"]), ()
HEADLINES = {
    **{f"{cells}, {what}": True for cells in CELLS for what in
       ("kNN fine", "kNN coarse", "ARI fine", "ARI coarse", "silhouette fine")},
    **{f"{kind}, {how}, {what}": True for kind in BATCHES for how in ("told", "harmony") for what in ("mixing", "kNN")},
}  # fmt: skip
OURS = "pathwayae"
WIDTH, NEIGHBOURS = 30, 30
LYMPHOID, MYELOID = ("CD4", "CD8", "NK"), ("Mono", "DC", "Dendritic")


def measure(get: Get) -> dict[str, list[float]]:
    figures: dict[str, list[float]] = {}
    for cells, problem in CELLS.items():
        solved = get(problem)
        if solved:
            values = types(narrow(solved.result.scores), solved.truth["obs"])
            figures |= {f"{cells}, {what}": [value] for what, value in values.items()}
    for kind, problems in BATCHES.items():
        for told, problem in problems.items():
            solved = get(problem)
            if solved is None:
                continue
            how, embedding, obs = told, narrow(solved.result.scores), solved.truth["obs"]
            values = mixed(embedding, obs)
            if told == "untold":
                figures |= {f"{kind}, untold, {what}": [value] for what, value in values.items()}
                how, values = "harmony", mixed(harmony(embedding, obs), obs)
            figures |= {f"{kind}, {how}, {what}": [value] for what, value in values.items()}
    return figures


def narrow(scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(scores, dtype=float)
    return PCA(WIDTH, random_state=0).fit_transform(scores) if scores.shape[1] > WIDTH else scores


def coarse(kind: str) -> str:
    if any(part in kind for part in LYMPHOID):
        return "T and NK"
    return "myeloid" if any(part in kind for part in MYELOID) else kind


def types(embedding: np.ndarray, obs: pd.DataFrame) -> dict[str, float]:
    """Where labels are of two sources, the authors' alone; types of 5 cells or more."""
    kinds = obs["cell_type"].astype(str)
    kept = kinds.map(kinds.value_counts()) >= 5
    if "cell_type_source" in obs:
        kept &= obs["cell_type_source"] == "deposited"
        kept &= kinds.map(kinds[kept].value_counts()).fillna(0) >= 5
    embedding, fine = embedding[kept.to_numpy()], kinds[kept].to_numpy()
    figures = {"silhouette fine": float(silhouette_score(embedding, fine))}
    for name, labels in {"fine": fine, "coarse": np.array([coarse(kind) for kind in fine])}.items():
        figures[f"kNN {name}"] = float(counts.neighbours(embedding, labels))
        found = KMeans(len(np.unique(labels)), n_init=10, random_state=0).fit_predict(embedding)
        figures[f"ARI {name}"] = float(adjusted_rand_score(labels, found))
    return figures


def mixed(embedding: np.ndarray, obs: pd.DataFrame) -> dict[str, float]:
    kinds, batch = obs["cell_type"].astype(str).to_numpy(), obs["condition"].astype(str).to_numpy()
    near = NearestNeighbors(n_neighbors=NEIGHBOURS + 1).fit(embedding).kneighbors(return_distance=False)[:, :NEIGHBOURS]
    same = kinds[near] == kinds[:, None]
    other = (batch[near] != batch[:, None]) & same
    share = np.divide(other.sum(1), same.sum(1), out=np.zeros(len(near)), where=same.any(1))
    parts = []
    for kind in np.unique(kinds):
        inside = kinds == kind
        expected = np.array([(inside & (batch != one)).sum() / inside.sum() for one in batch[inside]])
        parts.append(np.minimum(share[inside] / np.maximum(expected, 1e-9), 1.0).mean())
    return {
        "mixing": float(np.mean(parts)),
        "kNN": float(counts.neighbours(embedding, kinds)),
        "silhouette": float(silhouette_score(embedding, kinds)),
    }


def harmony(embedding: np.ndarray, obs: pd.DataFrame) -> np.ndarray:
    import harmonypy

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        meta = pd.DataFrame({"batch": obs["condition"].astype(str).to_numpy()})
        found = np.asarray(harmonypy.run_harmony(embedding, meta, "batch", verbose=False, random_state=0).Z_corr)
    return found if found.shape[0] == len(embedding) else found.T
