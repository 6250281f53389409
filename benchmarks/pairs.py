"""Which cells a pathway must pick out: pairs of a set and populations, written down before any score was looked at.

A pair is (set, cells that have more of it, cells that have less; None for all others). Coarse pairs tell a population
from all other cells, fine ones from its neighbours. The first collections were looked at when the defaults of
``pae.tl.fit`` were chosen (2026-11-26); those under "not looked at" were written down after the choice and before they
were scored for the first time.
"""

from __future__ import annotations

from typing import NamedTuple

MONO = ("CD14+ Mono", "FCGR3A+ Mono")
CD4 = ("Naive CD4 T", "Memory CD4 T")
T = (*CD4, "CD8 T")
LYMPH = (*T, "B", "NK")


class Pair(NamedTuple):
    """A set, the populations that have more of it, those that have less (None: all others), and whether it is fine."""

    name: str
    more: tuple[str, ...]
    less: tuple[str, ...] | None = None

    @property
    def fine(self) -> bool:
        return self.less is not None


def _pairs(prefix: str, rows: list[tuple]) -> list[Pair]:
    return [Pair(prefix + row[0], *row[1:]) for row in rows]


PBMC_PANGLAO = _pairs(
    "panglao_",
    [
        ("B_cells", ("B",)),
        ("B_cells_naive", ("B",)),
        ("B_cells_memory", ("B",)),
        ("Plasma_cells", ("B",)),
        ("NK_cells", ("NK",)),
        ("Natural_killer_T_cells", ("NK", "CD8 T")),
        ("Gamma_delta_T_cells", ("NK", "CD8 T")),
        ("Monocytes", MONO),
        ("Macrophages", MONO),
        ("Neutrophils", MONO),
        ("Kupffer_cells", MONO),
        ("Microglia", MONO),
        ("Myeloid-derived_suppressor_cells", MONO),
        ("Dendritic_cells", ("DC",)),
        ("Langerhans_cells", ("DC",)),
        ("T_cells", T),
        ("T_helper_cells", CD4),
        ("T_regulatory_cells", ("Memory CD4 T",)),
        ("T_cytotoxic_cells", ("CD8 T",)),
        ("Thymocytes", T),
        ("Platelets", ("Platelet",)),
        ("Megakaryocytes", ("Platelet",)),
        ("T_cells_naive", ("Naive CD4 T",), ("Memory CD4 T",)),
        ("T_memory_cells", ("Memory CD4 T",), ("Naive CD4 T",)),
        ("T_cytotoxic_cells", ("CD8 T",), CD4),
        ("T_helper_cells", CD4, ("CD8 T",)),
        ("T_cells", T, ("NK",)),
        ("NK_cells", ("NK",), ("CD8 T",)),
        ("Gamma_delta_T_cells", ("CD8 T",), CD4),
        ("Dendritic_cells", ("DC",), MONO),
        ("Monocytes", MONO, ("DC",)),
        ("Macrophages", ("FCGR3A+ Mono",), ("CD14+ Mono",)),
    ],
)
PBMC_REACTOME = _pairs(
    "REACTOME_",
    [
        ("NEUTROPHIL_DEGRANULATION", MONO),
        ("TOLL_LIKE_RECEPTOR_CASCADES", MONO),
        ("ROS_AND_RNS_PRODUCTION_IN_PHAGOCYTES", MONO),
        ("INTERLEUKIN_10_SIGNALING", MONO),
        ("ANTIMICROBIAL_PEPTIDES", MONO),
        ("PLATELET_ACTIVATION_SIGNALING_AND_AGGREGATION", ("Platelet",)),
        ("RESPONSE_TO_ELEVATED_PLATELET_CYTOSOLIC_CA2", ("Platelet",)),
        ("PLATELET_AGGREGATION_PLUG_FORMATION", ("Platelet",)),
        ("HEMOSTASIS", ("Platelet",)),
        ("CD22_MEDIATED_BCR_REGULATION", ("B",)),
        ("ANTIGEN_ACTIVATES_B_CELL_RECEPTOR_BCR_LEADING_TO_GENERATION_OF_SECOND_MESSENGERS", ("B",)),
        ("SIGNALING_BY_THE_B_CELL_RECEPTOR_BCR", ("B",)),
        ("TCR_SIGNALING", T),
        ("GENERATION_OF_SECOND_MESSENGER_MOLECULES", T),
        ("PHOSPHORYLATION_OF_CD3_AND_TCR_ZETA_CHAINS", T),
        ("COSTIMULATION_BY_THE_CD28_FAMILY", T),
        ("MHC_CLASS_II_ANTIGEN_PRESENTATION", ("B", "DC", *MONO)),
        ("FCGR_ACTIVATION", ("FCGR3A+ Mono", "NK")),
        ("DAP12_INTERACTIONS", ("NK",)),
        ("IMMUNOREGULATORY_INTERACTIONS_BETWEEN_A_LYMPHOID_AND_A_NON_LYMPHOID_CELL", ("NK",)),
        ("EUKARYOTIC_TRANSLATION_ELONGATION", LYMPH, MONO),
        ("EUKARYOTIC_TRANSLATION_ELONGATION", ("Naive CD4 T",), ("Memory CD4 T",)),
        ("DAP12_INTERACTIONS", ("NK",), ("CD8 T",)),
        ("FCGR_ACTIVATION", ("FCGR3A+ Mono",), ("CD14+ Mono",)),
        ("PHOSPHORYLATION_OF_CD3_AND_TCR_ZETA_CHAINS", T, ("NK",)),
        ("MHC_CLASS_II_ANTIGEN_PRESENTATION", ("DC",), ("CD14+ Mono",)),
    ],
)
PBMC_HALLMARK = _pairs(
    "HALLMARK_",
    [
        ("COMPLEMENT", MONO),
        ("COAGULATION", ("Platelet", *MONO)),
        ("INFLAMMATORY_RESPONSE", MONO),
        ("TNFA_SIGNALING_VIA_NFKB", MONO),
        ("IL6_JAK_STAT3_SIGNALING", MONO),
        ("REACTIVE_OXYGEN_SPECIES_PATHWAY", MONO),
        ("INTERFERON_GAMMA_RESPONSE", MONO),
        ("KRAS_SIGNALING_UP", MONO),
        ("XENOBIOTIC_METABOLISM", MONO),
        ("ALLOGRAFT_REJECTION", ("NK", *T), ("B", "Platelet")),
        ("ALLOGRAFT_REJECTION", ("CD8 T",), ("Naive CD4 T",)),
        ("INTERFERON_GAMMA_RESPONSE", ("FCGR3A+ Mono",), ("CD14+ Mono",)),
        ("COMPLEMENT", MONO, ("B",)),
        ("MYC_TARGETS_V1", ("DC",), T),
    ],
)
PBMC_KEGG = _pairs(
    "KEGG_",
    [
        ("B_CELL_RECEPTOR_SIGNALING_PATHWAY", ("B",)),
        ("NATURAL_KILLER_CELL_MEDIATED_CYTOTOXICITY", ("NK",)),
        ("T_CELL_RECEPTOR_SIGNALING_PATHWAY", T),
        ("LYSOSOME", MONO),
        ("FC_GAMMA_R_MEDIATED_PHAGOCYTOSIS", MONO),
        ("TOLL_LIKE_RECEPTOR_SIGNALING_PATHWAY", MONO),
        ("LEISHMANIA_INFECTION", MONO),
        ("ASTHMA", ("B", "DC", *MONO)),
        ("ANTIGEN_PROCESSING_AND_PRESENTATION", ("B", "DC", *MONO), CD4),
        ("RIBOSOME", LYMPH, MONO),
        ("RIBOSOME", ("Naive CD4 T",), ("Memory CD4 T",)),
        ("NATURAL_KILLER_CELL_MEDIATED_CYTOTOXICITY", ("NK",), CD4),
        ("T_CELL_RECEPTOR_SIGNALING_PATHWAY", T, ("NK",)),
    ],
)
STELLATE = ("quiescent_stellate", "activated_stellate")
ENDOCRINE = ("alpha", "beta", "delta", "gamma", "epsilon")
BARON_PANGLAO = _pairs(
    "panglao_",
    [
        ("Alpha_cells", ("alpha",)),
        ("Beta_cells", ("beta",)),
        ("Delta_cells", ("delta",)),
        ("Gamma_(PP)_cells", ("gamma",)),
        ("Acinar_cells", ("acinar",)),
        ("Ductal_cells", ("ductal",)),
        ("Pancreatic_stellate_cells", STELLATE),
        ("Endothelial_cells", ("endothelial",)),
        ("Fibroblasts", STELLATE),
        ("Pericytes", STELLATE),
        ("Hepatic_stellate_cells", STELLATE),
        ("Smooth_muscle_cells", STELLATE),
        ("Cholangiocytes", ("ductal",)),
        ("Epithelial_cells", ("ductal",)),
        ("Enteroendocrine_cells", ENDOCRINE),
        ("Neuroendocrine_cells", ENDOCRINE),
        ("Myofibroblasts", ("activated_stellate",)),
        ("Alpha_cells", ("alpha",), ("beta",)),
        ("Beta_cells", ("beta",), ("alpha",)),
        ("Delta_cells", ("delta",), ("beta",)),
        ("Gamma_(PP)_cells", ("gamma",), ("alpha",)),
        ("Ductal_cells", ("ductal",), ("acinar",)),
        ("Acinar_cells", ("acinar",), ("ductal",)),
        ("Pancreatic_stellate_cells", STELLATE, ("endothelial",)),
    ],
)
KANG_MONO = ("CD14+ Monocytes", "FCGR3A+ Monocytes")
KANG_T = ("CD4 T cells", "CD8 T cells")
KANG_PANGLAO = _pairs(
    "panglao_",
    [
        ("B_cells", ("B cells",)),
        ("B_cells_naive", ("B cells",)),
        ("NK_cells", ("NK cells",)),
        ("Natural_killer_T_cells", ("NK cells", "CD8 T cells")),
        ("Gamma_delta_T_cells", ("NK cells", "CD8 T cells")),
        ("Monocytes", KANG_MONO),
        ("Macrophages", KANG_MONO),
        ("Neutrophils", KANG_MONO),
        ("Dendritic_cells", ("Dendritic cells",)),
        ("T_cells", KANG_T),
        ("T_helper_cells", ("CD4 T cells",)),
        ("T_cytotoxic_cells", ("CD8 T cells",)),
        ("T_cytotoxic_cells", ("CD8 T cells",), ("CD4 T cells",)),
        ("NK_cells", ("NK cells",), ("CD8 T cells",)),
        ("T_cells", KANG_T, ("NK cells",)),
        ("Macrophages", ("FCGR3A+ Monocytes",), ("CD14+ Monocytes",)),
    ],
)
# Not looked at while anything was chosen: other collections, other cells.
PBMC_GO = _pairs(
    "",
    [
        ("B cell receptor signaling pathway (GO:0050853)", ("B",)),
        ("T cell receptor signaling pathway (GO:0050852)", T),
        ("T cell activation (GO:0042110)", T),
        ("natural killer cell mediated cytotoxicity (GO:0042267)", ("NK",)),
        ("natural killer cell activation (GO:0030101)", ("NK",)),
        ("neutrophil degranulation (GO:0043312)", MONO),
        ("neutrophil chemotaxis (GO:0030593)", MONO),
        ("monocyte chemotaxis (GO:0002548)", MONO),
        ("phagocytosis (GO:0006909)", MONO),
        ("inflammatory response (GO:0006954)", MONO),
        ("toll-like receptor signaling pathway (GO:0002224)", MONO),
        ("platelet aggregation (GO:0070527)", ("Platelet",)),
        ("platelet degranulation (GO:0002576)", ("Platelet",)),
        ("blood coagulation (GO:0007596)", ("Platelet",)),
        ("antigen processing and presentation of exogenous peptide antigen via MHC class II (GO:0019886)", ("DC",)),
        ("Fc-gamma receptor signaling pathway involved in phagocytosis (GO:0038096)", MONO, ("B",)),
        ("cytoplasmic translation (GO:0002181)", LYMPH, MONO),
        ("cytoplasmic translation (GO:0002181)", ("Naive CD4 T",), ("Memory CD4 T",)),
        ("T cell receptor signaling pathway (GO:0050852)", T, ("NK",)),
        ("natural killer cell mediated cytotoxicity (GO:0042267)", ("NK",), ("CD8 T",)),
        ("natural killer cell mediated cytotoxicity (GO:0042267)", ("CD8 T",), CD4),
        (
            "antigen processing and presentation of exogenous peptide antigen via MHC class II (GO:0019886)",
            ("DC",),
            MONO,
        ),
    ],
)
SORTED_T = (
    "CD4+/CD25 T Reg",
    "CD4+/CD45RA+/CD25- Naive T",
    "CD4+/CD45RO+ Memory",
    "CD8+ Cytotoxic T",
    "CD8+/CD45RA+ Naive Cytotoxic",
)
SORTED_PANGLAO = _pairs(  # scanpy.datasets.pbmc68k_reduced: labels from cells sorted by surface proteins
    "panglao_",
    [
        ("B_cells", ("CD19+ B",)),
        ("B_cells_naive", ("CD19+ B",)),
        ("B_cells_memory", ("CD19+ B",)),
        ("NK_cells", ("CD56+ NK",)),
        ("Natural_killer_T_cells", ("CD56+ NK", "CD8+ Cytotoxic T")),
        ("Gamma_delta_T_cells", ("CD56+ NK", "CD8+ Cytotoxic T")),
        ("Monocytes", ("CD14+ Monocyte",)),
        ("Macrophages", ("CD14+ Monocyte", "Dendritic")),
        ("Neutrophils", ("CD14+ Monocyte",)),
        ("Dendritic_cells", ("Dendritic",)),
        ("T_cells", SORTED_T),
        ("Hematopoietic_stem_cells", ("CD34+",)),
        ("T_cells", SORTED_T, ("CD56+ NK",)),
        ("NK_cells", ("CD56+ NK",), ("CD8+ Cytotoxic T",)),
        ("T_cytotoxic_cells", ("CD8+ Cytotoxic T",), ("CD4+/CD45RO+ Memory",)),
        ("Dendritic_cells", ("Dendritic",), ("CD14+ Monocyte",)),
    ],
)
KANG2_PANGLAO = _pairs(
    "panglao_",
    [
        ("B_cells", ("B cells",)),
        ("B_cells_naive", ("B cells",)),
        ("Plasma_cells", ("B cells",)),
        ("Monocytes", KANG_MONO),
        ("Macrophages", KANG_MONO),
        ("Neutrophils", KANG_MONO),
        ("Microglia", KANG_MONO),
        ("T_cells", KANG_T),
        ("NK_cells", ("CD8 T cells",), ("CD4 T cells",)),
        ("Gamma_delta_T_cells", ("CD8 T cells",), ("CD4 T cells",)),
        ("Natural_killer_T_cells", ("CD8 T cells",), ("CD4 T cells",)),
        ("Macrophages", ("FCGR3A+ Monocytes",), ("CD14+ Monocytes",)),
    ],
)
