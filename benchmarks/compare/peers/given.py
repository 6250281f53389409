"""The gene sets as they are given, as a floor: membership as loadings, the mean of the genes as scores."""

from __future__ import annotations

from contract import Problem, Result

METHODS = ("sets as given",)
ENVIRONMENT, TRAINED = None, False
ONLY = {"sets as given": ("planted", "corrupted")}  # where members are asked for
IMPORTS, VERSIONS = (), ()


def run(problem: Problem, method: str) -> Result:
    member = problem.membership()
    return Result(problem.dense() @ (member / member.sum(axis=0)), list(problem.sets), member.astype(float))
