from snakemake.utils import min_version

min_version("9.5")


if not workflow.config_settings.configfiles:

    configfile: "config/config.yaml"


include: "rules/common.smk"
include: "rules/dataset.smk"
include: "rules/split.smk"
include: "rules/backbone.smk"
include: "rules/embed.smk"
include: "rules/train.smk"
include: "rules/cluster.smk"
include: "rules/retrain.smk"
include: "rules/hybrid.smk"
include: "rules/regress.smk"
include: "rules/explain.smk"
include: "rules/network.smk"
include: "rules/features.smk"
include: "rules/compare.smk"
include: "rules/report.smk"


localrules:
    all,
    data,
    embeddings,
    explanation_tables,
    feature_tables,
    hybrid_tables,
    network_tables,
    regression_tables,
    shard,
    tables,


onstart:
    # Snakemake's own limit of jobs a second looks at all waiting jobs once more a second for every job that has ended:
    # with some hundred jobs that alone keeps a core busy. A limit that the user gave stays.
    limit = workflow.scheduler.job_rate_limiter
    if limit and (limit.max_jobs, limit.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None


onsuccess:
    # of a run that was asked for other files or a part, the reports may be those of an older one, or not be there
    asked = workflow.dag_settings
    if not (asked.targets or asked.until or asked.omit_from):
        studies = list(layout.config.studies)
        shell("python -m heteroscope.summary {studies:q}")


# what stands beside reports: a table or figure that a reader misses is made again, though the report stands
COMPARISONS = expand(rules.compare.output, study=layout.config.studies)
EXPLANATIONS = [
    *expand(rules.explanations.output, study=layout.studies_with("explanations")),
    *[path for study in layout.studies_with("explanations") for path in layout.explained_files(study)],
]
FEATURES = [*layout.feature_files(), *expand(rules.models.output, study=layout.model_studies())]
HYBRIDS = expand(rules.hybrids.output, study=layout.studies_with("hybrids"))
NETWORKS = layout.network_files()
REGRESSIONS = [
    *expand(rules.regressions.output, study=layout.studies_with("regressions")),
    *[path for study in layout.studies_with("regressions") for path in layout.regression_files(study)],
]


rule all:
    default_target: True
    input:
        rules.overview.output,
        expand("results/report/{study}/index.html", study=layout.config.studies),
        *[COMPARISONS, EXPLANATIONS, FEATURES, HYBRIDS, NETWORKS, REGRESSIONS],


rule tables:
    input:
        *[COMPARISONS, EXPLANATIONS, FEATURES, HYBRIDS, NETWORKS, REGRESSIONS],


rule data:
    input:
        expand("results/dataset/{dataset}/images.parquet", dataset=layout.config.datasets),


rule embeddings:
    input:
        [
            path
            for study in layout.config.studies.values()
            for backbone in study.backbones
            for path in layout.embeddings_of(study.dataset, backbone, study.split)
        ],


rule feature_tables:
    input:
        FEATURES,


rule explanation_tables:
    input:
        EXPLANATIONS,


rule hybrid_tables:
    input:
        HYBRIDS,


rule network_tables:
    input:
        NETWORKS,


rule regression_tables:
    input:
        REGRESSIONS,
