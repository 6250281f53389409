"""scVI (scvi-tools 1.4.2), 30 dimensions, its own number of epochs (400 for few cells): an embedding without names."""

from __future__ import annotations

from contract import Problem, Result

METHODS = ("scVI",)
ENVIRONMENT, TRAINED = "scvi", True
BATCHES = METHODS
IMPORTS, VERSIONS = ("scvi",), ("scvi-tools",)
NOT = {"scVI": ("planted", "small fold")}  # which ask for loadings and named scores
WIDTH = 30


def run(problem: Problem, method: str) -> Result:
    import scvi

    scvi.settings.seed = problem.seed
    scvi.model.SCVI.setup_anndata(problem.cells, layer="counts", batch_key=problem.batch)
    model = scvi.model.SCVI(problem.cells, n_latent=WIDTH)
    model.train(accelerator="cpu", devices=1, enable_progress_bar=False, logger=False, enable_checkpointing=False)
    scores = model.get_latent_representation()
    return Result(scores, [f"dimension {i + 1}" for i in range(scores.shape[1])])
