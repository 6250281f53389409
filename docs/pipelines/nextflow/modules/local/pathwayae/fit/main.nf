process PATHWAYAE_FIT {
    tag "$meta.id"
    label 'process_medium'

    conda "${moduleDir}/environment.yml"

    input:
    tuple val(meta), path(cells)
    path gene_sets

    output:
    tuple val(meta), path("*.h5ad")   , emit: h5ad
    tuple val(meta), path("*_tables") , emit: tables
    tuple val(meta), path("*.json")   , emit: json
    path "versions.yml"               , emit: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}_pathwayae"
    if ("$cells" == "${prefix}.h5ad") error "Input and output names are the same, set task.ext.prefix to tell them apart"
    """
    export OMP_NUM_THREADS=${task.cpus}
    export NUMBA_CACHE_DIR=./numba MPLCONFIGDIR=./matplotlib

    pathwayae fit \\
        $cells \\
        --pathways $gene_sets \\
        --out ${prefix}.h5ad \\
        --tables ${prefix}_tables \\
        --json \\
        $args \\
        > ${prefix}.json

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        pathwayae: \$(pathwayae --version | sed 's/pathwayae //')
    END_VERSIONS
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}_pathwayae"
    """
    touch ${prefix}.h5ad ${prefix}.json
    mkdir ${prefix}_tables
    touch ${prefix}_tables/scores.csv

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        pathwayae: \$(pathwayae --version | sed 's/pathwayae //')
    END_VERSIONS
    """
}
