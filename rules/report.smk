rule report:
    input:
        verdict="results/compare/{study}/verdict.json",
        tables=expand("results/compare/{{study}}/{table}.csv", table=TABLES),
        drawn=expand(
            "results/compare/{{study}}/{figure}.png",
            figure=[
                "retraining",
                "gain",
                "power",
                "curve",
                "transfer",
                "baseline",
                "attribute-scores",
                "confusion",
                "sensitivity",
            ],
        ),
        shown=of(layout.shown_files),
        images=of(layout.images_of_study),
        pixels=untracked(layout.pixels_of_study),
        pixel_digests=digests_of(layout.pixels_of_study),
        branches=of(layout.branch_files),
        dataset=of(layout.dataset_tables),
        split_counts=lambda wildcards: layout.split_of_study(wildcards.study, "csv"),
        split_figure=lambda wildcards: layout.split_of_study(wildcards.study, "png"),
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
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        context=spec_of(layout.context),
        plan=lambda wildcards: json.dumps(
            {
                "analyses": layout.analyses(wildcards.study),
                "branches": layout.branches(wildcards.study),
            }
        ),
        compare=lambda wildcards, input: Path(input.verdict).parent,
        dataset=lambda wildcards, input: Path(input.dataset[0]).parent,
        threads=threads_flag,
        code=code_digest("heteroscope.stages.report"),
    shell:
        "python -m heteroscope.stages.report {params.threads}"
        " --context {params.context:q} --plan - --compare {params.compare:q}"
        " --dataset {params.dataset:q} --split-counts {input.split_counts:q} --split-figure {input.split_figure:q}"
        " --images {input.images:q} --pixels {input.pixels:q}"
        " --output {output.page:q}"
        " <<< {params.plan:q} 2>&1 | tee {log:q}"


rule overview:
    input:
        verdicts=expand("results/compare/{study}/verdict.json", study=layout.config.studies),
    output:
        page="results/report/index.html",
    log:
        "results/logs/overview.log",
    benchmark:
        "results/benchmarks/overview.tsv"
    conda:
        "../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        threads=threads_flag,
        code=code_digest("heteroscope.stages.overview"),
    shell:
        "python -m heteroscope.stages.overview {params.threads}"
        " --verdicts {input.verdicts:q} --output {output.page:q}"
        " 2>&1 | tee {log:q}"
