process PATHWAYAE_REPORT {
    tag "$meta.id"
    label 'process_low'

    conda "${moduleDir}/environment.yml"

    input:
    tuple val(meta), path(fitted)

    output:
    tuple val(meta), path("*.html")     , emit: html
    tuple val(meta), path("*_mqc.json") , emit: multiqc
    path "versions.yml"                 , emit: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    export OMP_NUM_THREADS=${task.cpus}
    export NUMBA_CACHE_DIR=./numba MPLCONFIGDIR=./matplotlib

    pathwayae report \\
        $fitted \\
        --out ${prefix}.html \\
        --multiqc ${prefix}_mqc.json \\
        $args

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        pathwayae: \$(pathwayae --version | sed 's/pathwayae //')
    END_VERSIONS
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    touch ${prefix}.html ${prefix}_mqc.json ${prefix}_pathwayae_mqc.json

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        pathwayae: \$(pathwayae --version | sed 's/pathwayae //')
    END_VERSIONS
    """
}
