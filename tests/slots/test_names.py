"""Names of components as people type them."""

import logging

import pytest

from pathwayae._slots.names import find

NAMES = [
    "HALLMARK_INTERFERON_ALPHA_RESPONSE",
    "HALLMARK_INTERFERON_GAMMA_RESPONSE",
    "HALLMARK_HYPOXIA",
    "HALLMARK_E2F_TARGETS",
    "REACTOME_S_PHASE",
    "REACTOME_RECRUITMENT_IN_S_PHASE",
    "B cells",
    "B cells memory",
    "Glycolysis/gluconeogenesis",
    "free_1",
    "free_10",
]


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("HALLMARK_HYPOXIA", "HALLMARK_HYPOXIA"),
        ("hypoxia", "HALLMARK_HYPOXIA"),
        ("interferon alpha", "HALLMARK_INTERFERON_ALPHA_RESPONSE"),
        ("Interferon-Gamma", "HALLMARK_INTERFERON_GAMMA_RESPONSE"),
        ("interferon alpha resp", "HALLMARK_INTERFERON_ALPHA_RESPONSE"),
        ("E2F", "HALLMARK_E2F_TARGETS"),
        ("S phase", "REACTOME_S_PHASE"),  # the whole name but for its prefix, before part of another
        ("b cells", "B cells"),
        ("memory", "B cells memory"),
        ("genesis", "Glycolysis/gluconeogenesis"),
        ("free_1", "free_1"),
        ("free 10", "free_10"),
    ],
)
def test_a_part_that_one_name_has_is_that_name(asked, meant):
    assert find(NAMES, [asked]) == [meant]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (
            "interferon",
            r"'interferon' is part of 2 names: 'HALLMARK_INTERFERON_ALPHA_RESPONSE', 'HALLMARK_INTERFERON_G",
        ),
        ("HALLMARK", "is part of 4 names"),
        ("interferon alfa", r"closest: 'HALLMARK_INTERFERON_ALPHA_RESPONSE'"),
        ("oxi", r"closest: 'HALLMARK_HYPOXIA'"),  # letters within a word are too few to say which
        ("hipoxia", r"closest: 'HALLMARK_HYPOXIA'"),
        ("", "No component is called ''"),
        ("///", "No component is called '///'"),
    ],
)
def test_what_is_meant_is_not_guessed(asked, told):
    with pytest.raises(KeyError, match=told):
        find(NAMES, ["free_1", asked])


def test_many_candidates_are_counted():
    names = [f"set {j}" for j in range(30)]
    with pytest.raises(KeyError, match=r"part of 30 names: 'set 0', .* and 22 more"):
        find(names, ["set"])


def test_the_order_is_kept_and_no_name_comes_twice(caplog):
    with caplog.at_level(logging.INFO, logger="pathwayae"):
        assert find(NAMES, ["hypoxia", "free_1", "E2F"]) == ["HALLMARK_HYPOXIA", "free_1", "HALLMARK_E2F_TARGETS"]
    assert [record.getMessage() for record in caplog.records] == [
        "'hypoxia' is taken for 'HALLMARK_HYPOXIA'.",
        "'E2F' is taken for 'HALLMARK_E2F_TARGETS'.",
    ]
    for twice in (["hypoxia", "HALLMARK_HYPOXIA"], ["free_1", "free_1"], []):
        with pytest.raises(ValueError, match="none twice"):
            find(NAMES, twice)
    with pytest.raises(KeyError, match="there are none"):
        find([], ["a"])


def test_a_number_is_no_part_of_a_longer_one():
    names = ["IL10 signaling", "CD40 signaling", "program_12", "9 steps of 19"]
    for asked in ("IL1", "CD4", "program 1", "2", "1"):
        with pytest.raises(KeyError, match="No component is called"):
            find(names, [asked])
    assert find(names, ["IL10", "program 12", "19"]) == ["IL10 signaling", "program_12", "9 steps of 19"]


def test_names_that_differ_in_case_alone_are_told_apart():
    assert find(["Abc", "ABC"], ["ABC"]) == ["ABC"]
    with pytest.raises(KeyError, match="part of 2 names: 'Abc', 'ABC'"):
        find(["Abc", "ABC"], ["abc"])
