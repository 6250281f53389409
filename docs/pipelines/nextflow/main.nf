// Cells and gene sets to scores, a test between groups, and a page to read.
//
//   nextflow run docs/pipelines/nextflow --input samplesheet.csv --gene_sets hallmark.gmt --groupby condition

include { PATHWAYAE_FIT    } from './modules/local/pathwayae/fit/main'
include { PATHWAYAE_RANK   } from './modules/local/pathwayae/rank/main'
include { PATHWAYAE_REPORT } from './modules/local/pathwayae/report/main'

workflow {
    cells = Channel.fromPath(params.input)
        .splitCsv(header: true)
        .map { row -> tuple([id: row.sample], file(row.h5ad, checkIfExists: true)) }

    PATHWAYAE_FIT(cells, file(params.gene_sets, checkIfExists: true))
    PATHWAYAE_RANK(PATHWAYAE_FIT.out.h5ad, params.groupby)
    PATHWAYAE_REPORT(PATHWAYAE_RANK.out.h5ad)

    versions = PATHWAYAE_FIT.out.versions.mix(PATHWAYAE_RANK.out.versions, PATHWAYAE_REPORT.out.versions)
    versions.unique().collectFile(name: 'versions.yml', storeDir: "${params.outdir}/pipeline_info")
}
