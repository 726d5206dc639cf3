rule features:
    input:
        embeddings=untracked(layout.embeddings_of),
        embedding_digests=digests_of(layout.embeddings_of),
        split="results/split/{dataset}/{split}.parquet",
        images="results/dataset/{dataset}/images.parquet",
        pixels=untracked(layout.pixels_of),
    output:
        features=report(
            "results/features/{dataset}/{backbone}/{split}/{features}/features.csv",
            caption="../workflow/heteroscope/report/captions/features.rst",
            category="Features",
            subcategory="{dataset}",
            labels={"backbone": "{backbone}", "result": "table of features"},
        ),
        redundancy=report(
            "results/features/{dataset}/{backbone}/{split}/{features}/redundancy.csv",
            caption="../workflow/heteroscope/report/captions/redundancy.rst",
            category="Features",
            subcategory="{dataset}",
            labels={
                "backbone": "{backbone}",
                "result": "table of redundant groups",
            },
        ),
        retrieval=report(
            "results/features/{dataset}/{backbone}/{split}/{features}/retrieval.csv",
            caption="../workflow/heteroscope/report/captions/retrieval.rst",
            category="Features",
            subcategory="{dataset}",
            labels={"backbone": "{backbone}", "result": "table of precision at k"},
        ),
        summary=report(
            "results/features/{dataset}/{backbone}/{split}/{features}/summary.json",
            caption="../workflow/heteroscope/report/captions/features-summary.rst",
            category="Features",
            subcategory="{dataset}",
            labels={"backbone": "{backbone}", "result": "summary"},
        ),
        volcano=report(
            "results/features/{dataset}/{backbone}/{split}/{features}/volcano.png",
            caption="../workflow/heteroscope/report/captions/volcano.rst",
            category="Features",
            subcategory="{dataset}",
            labels={
                "backbone": "{backbone}",
                "result": "figure of effects and significance",
            },
        ),
        correlations=report(
            "results/features/{dataset}/{backbone}/{split}/{features}/correlations.png",
            caption="../workflow/heteroscope/report/captions/correlations.rst",
            category="Features",
            subcategory="{dataset}",
            labels={"backbone": "{backbone}", "result": "figure of correlations"},
        ),
        sheet=report(
            "results/features/{dataset}/{backbone}/{split}/{features}/retrieval.png",
            caption="../workflow/heteroscope/report/captions/retrieval-sheet.rst",
            category="Features",
            subcategory="{dataset}",
            labels={"backbone": "{backbone}", "result": "sheet of images found"},
        ),
    log:
        "results/logs/features/{dataset}/{backbone}/{split}/{features}.log",
    benchmark:
        "results/benchmarks/features/{dataset}/{backbone}/{split}/{features}.tsv"
    conda:
        "../envs/base.yaml"
    threads: layout.config.threads
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        spec=entry("features", "features"),
        part=of(layout.tested_part),
        folder=lambda wildcards, output: Path(output.summary).parent,
        threads=threads_flag,
        code=code_digest("heteroscope.stages.features"),
    shell:
        "python -m heteroscope.stages.features {params.threads}"
        " --embeddings {input.embeddings:q} --split {input.split:q} --images {input.images:q}"
        " --pixels {input.pixels:q} --spec {params.spec:q} --part {params.part} --output {params.folder:q}"
        " 2>&1 | tee {log:q}"


rule models:
    input:
        files=of(layout.model_files),
    output:
        scores=report(
            "results/compare/{study}/models.csv",
            caption="../workflow/heteroscope/report/captions/models.rst",
            category="Models",
            subcategory="{study}",
            labels={"result": "table of models"},
        ),
        tests=report(
            "results/compare/{study}/model-tests.csv",
            caption="../workflow/heteroscope/report/captions/model-tests.rst",
            category="Models",
            subcategory="{study}",
            labels={"result": "table of paired tests"},
        ),
        other_formats=expand(
            "results/compare/{{study}}/{table}.{ending}",
            table=["models", "model-tests"],
            ending=["md", "tex"],
        ),
        figure=report(
            "results/compare/{study}/models.png",
            caption="../workflow/heteroscope/report/captions/models.rst",
            category="Models",
            subcategory="{study}",
            labels={"result": "figure of scores and silhouettes"},
        ),
        roc=report(
            "results/compare/{study}/roc.png",
            caption="../workflow/heteroscope/report/captions/roc.rst",
            category="Models",
            subcategory="{study}",
            labels={"result": "figure of ROC curves"},
        ),
    log:
        "results/logs/models/{study}.log",
    benchmark:
        "results/benchmarks/models/{study}.tsv"
    conda:
        "../envs/base.yaml"
    threads: layout.config.threads
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        plan=lambda wildcards: json.dumps(layout.models(wildcards.study)),
        folder=lambda wildcards, output: Path(output.scores).parent,
        threads=threads_flag,
        code=code_digest("heteroscope.stages.models"),
    shell:
        "python -m heteroscope.stages.models {params.threads} --plan - --output {params.folder:q}"
        " <<< {params.plan:q} 2>&1 | tee {log:q}"
