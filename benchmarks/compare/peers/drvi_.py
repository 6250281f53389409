"""DRVI 0.2.8, 30 dimensions, 400 epochs: an embedding without names."""

from __future__ import annotations

from contract import Problem, Result

METHODS = ("DRVI",)
ENVIRONMENT, TRAINED = "drvi", True
BATCHES = METHODS
IMPORTS, VERSIONS = ("drvi",), ("drvi-py",)
NOT = {"DRVI": ("planted", "small fold")}  # which ask for loadings and named scores
WIDTH, EPOCHS = 30, 400


def run(problem: Problem, method: str) -> Result:
    import drvi
    import scvi

    scvi.settings.seed = problem.seed
    keys = {"categorical_covariate_keys": [problem.batch]} if problem.batch else {}
    drvi.model.DRVI.setup_anndata(problem.cells, layer="counts", is_count_data=True, **keys)
    model = drvi.model.DRVI(problem.cells, n_latent=WIDTH, encoder_dims=[128, 128], decoder_dims=[128, 128])
    model.train(max_epochs=EPOCHS, early_stopping=False, accelerator="cpu", devices=1, enable_progress_bar=False,
                logger=False, enable_checkpointing=False)  # fmt: skip
    scores = model.get_latent_representation()
    return Result(scores, [f"dimension {i + 1}" for i in range(scores.shape[1])])
