rule split:
    input:
        images="results/dataset/{dataset}/images.parquet",
    output:
        split="results/split/{dataset}/{split}.parquet",
        counts="results/split/{dataset}/{split}.csv",
        figure=report(
            "results/split/{dataset}/{split}.png",
            caption="../workflow/heteroscope/report/captions/split.rst",
            category="Data",
            labels={"dataset": "{dataset}", "figure": "counts by part"},
        ),
    log:
        "results/logs/split/{dataset}/{split}.log",
    benchmark:
        "results/benchmarks/split/{dataset}/{split}.tsv"
    conda:
        "../envs/base.yaml"
    threads: layout.config.threads
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        spec=spec_of(layout.split),
        fold=of(layout.fold_flag),
        classes=lambda wildcards: json.dumps(layout.class_names(wildcards.dataset)),
        threads=threads_flag,
        code=code_digest("heteroscope.stages.split"),
    shell:
        "python -m heteroscope.stages.split {params.threads}"
        " --images {input.images:q} --spec {params.spec:q} {params.fold} --classes-order {params.classes:q}"
        " --split {output.split:q} --counts {output.counts:q} --figure {output.figure:q}"
        " 2>&1 | tee {log:q}"
