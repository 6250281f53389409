"""Calls of the tools with the settings spelled out, for tests that vary one of them."""

from dataclasses import fields, replace

from pathwayae import tl


def split(options, kind):
    """Options that are fields of the settings, gathered in them."""
    own = {field.name for field in fields(kind)} & set(options)
    settings = replace(options.get("settings") or kind(), **{name: options[name] for name in own})
    return {name: value for name, value in options.items() if name not in own} | {"settings": settings}


def fit(adata, pathways, **options):
    return tl.fit(adata, pathways, **split(options, tl.FitSettings))


def sparse_ae(adata, **options):
    return tl.sparse_ae(adata, **split(options, tl.SparseAESettings))


def archetypes(adata, n_archetypes, **options):
    return tl.archetypes(adata, n_archetypes, **split(options, tl.ArchetypesSettings))
