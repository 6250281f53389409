"""Gene sets: from files and ontologies to the membership of genes."""
