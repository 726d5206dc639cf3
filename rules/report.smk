def dataset_tables(wildcards):
    folder = f"results/dataset/{study_of(wildcards).dataset}"
    return [f"{folder}/classes.csv", f"{folder}/rejected.csv"]


def split_counts(wildcards):
    return f"results/split/{study_of(wildcards).dataset}/{study_of(wildcards).split}.csv"


def split_figure(wildcards):
    return f"results/split/{study_of(wildcards).dataset}/{study_of(wildcards).split}.png"


rule report:
    input:
        verdict="results/compare/{study}/verdict.json",
        tables=expand("results/compare/{{study}}/{table}.csv", table=TABLES),
        drawn=expand("results/compare/{{study}}/{figure}.png", figure=["retraining", "gain", "transfer", "baseline"]),
        figures=lambda wildcards: layout.figures_of(wildcards.study),
        dataset=dataset_tables,
        split_counts=split_counts,
        split_figure=split_figure,
    output:
        page="results/report/{study}/index.html",
    log:
        "results/logs/report/{study}.log",
    benchmark:
        "results/benchmarks/report/{study}.tsv"
    conda:
        "../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=30,
    params:
        context=context_of,
        plan=plan_of,
        compare=lambda wildcards, input: Path(input.verdict).parent,
        dataset=lambda wildcards, input: Path(input.dataset[0]).parent,
        threads=threads_flag,
        code=code_digest("heteroscope.stages.report"),
    shell:
        "python -m heteroscope.stages.report {params.threads}"
        " --context {params.context:q} --plan {params.plan:q} --compare {params.compare:q}"
        " --dataset {params.dataset:q} --split-counts {input.split_counts:q} --split-figure {input.split_figure:q}"
        " --output {output.page:q}"
        " 2>&1 | tee {log:q}"
