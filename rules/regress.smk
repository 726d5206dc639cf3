rule regress:
    input:
        embeddings=untracked(layout.embeddings_of),
        embedding_digests=digests_of(layout.embeddings_of),
        views=untracked(layout.views_of),
        view_digests=digests_of(layout.views_of),
        split="results/split/{dataset}/{split}.parquet",
        images="results/dataset/{dataset}/images.parquet",
    output:
        predictions="results/regress/{dataset}/{backbone}/{split}/{augmentation}/{regression}/predictions.parquet",
        metrics="results/regress/{dataset}/{backbone}/{split}/{augmentation}/{regression}/metrics.json",
        scatter=report(
            "results/regress/{dataset}/{backbone}/{split}/{augmentation}/{regression}/scatter.png",
            caption="../workflow/heteroscope/report/captions/regression-scatter.rst",
            category="Regressions",
            subcategory="{dataset}",
            labels={
                "backbone": "{backbone}",
                "split": "{split}",
                "regression": "{regression}",
                "figure": "predicted and true values",
            },
        ),
    log:
        "results/logs/regress/{dataset}/{backbone}/{split}/{augmentation}/{regression}.log",
    benchmark:
        "results/benchmarks/regress/{dataset}/{backbone}/{split}/{augmentation}/{regression}.tsv"
    conda:
        "../envs/base.yaml"
    threads: layout.config.threads
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        spec=entry("regressions", "regression"),
        threads=threads_flag,
        code=code_digest("heteroscope.stages.regress"),
    shell:
        "python -m heteroscope.stages.regress {params.threads}"
        " --embeddings {input.embeddings:q} --views {input.views:q} --split {input.split:q}"
        " --images {input.images:q} --dataset {wildcards.dataset:q} --spec {params.spec:q}"
        " --predictions {output.predictions:q} --metrics {output.metrics:q} --scatter {output.scatter:q}"
        " 2>&1 | tee {log:q}"


rule regressions:
    input:
        files=of(layout.regression_files),
    output:
        table=report(
            "results/compare/{study}/regressions.csv",
            caption="../workflow/heteroscope/report/captions/regressions.rst",
            category="Regressions",
            subcategory="{study}",
            labels={"result": "table of regressions"},
        ),
        other_formats=expand("results/compare/{{study}}/regressions.{ending}", ending=["md", "tex"]),
    log:
        "results/logs/regressions/{study}.log",
    benchmark:
        "results/benchmarks/regressions/{study}.tsv"
    conda:
        "../envs/base.yaml"
    threads: layout.config.threads
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        plan=lambda wildcards: json.dumps(layout.regressed(wildcards.study)),
        threads=threads_flag,
        code=code_digest("heteroscope.stages.regressions"),
    shell:
        "python -m heteroscope.stages.regressions {params.threads} --plan - --output {output.table:q}"
        " <<< {params.plan:q} 2>&1 | tee {log:q}"
