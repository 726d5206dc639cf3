rule network:
    input:
        probabilities=of(layout.network_probabilities),
        summary=of(layout.network_summary),
        history=of(layout.network_history),
        split="results/split/{dataset}/{split}.parquet",
        images="results/dataset/{dataset}/images.parquet",
        pixels=untracked(layout.pixels_of),
        pixel_digests=digests_of(layout.pixels_of),
    output:
        predictions="results/finetune/{dataset}/{backbone}/{split}/predictions.parquet",
        metrics="results/finetune/{dataset}/{backbone}/{split}/metrics.json",
        scores=report(
            "results/finetune/{dataset}/{backbone}/{split}/report.csv",
            caption="../workflow/heteroscope/report/captions/network-report.rst",
            category="Networks",
            subcategory="{dataset}",
            labels={
                "backbone": "{backbone}",
                "split": "{split}",
                "result": "classification report",
            },
        ),
        misclassified=report(
            "results/finetune/{dataset}/{backbone}/{split}/misclassified.csv",
            caption="../workflow/heteroscope/report/captions/network-misclassified.rst",
            category="Networks",
            subcategory="{dataset}",
            labels={
                "backbone": "{backbone}",
                "split": "{split}",
                "result": "wrong test images",
            },
        ),
        curves=report(
            "results/finetune/{dataset}/{backbone}/{split}/curves.png",
            caption="../workflow/heteroscope/report/captions/network-curves.rst",
            category="Networks",
            subcategory="{dataset}",
            labels={
                "backbone": "{backbone}",
                "split": "{split}",
                "result": "training curves",
            },
        ),
        confusion=report(
            "results/finetune/{dataset}/{backbone}/{split}/confusion.png",
            caption="../workflow/heteroscope/report/captions/network-confusion.rst",
            category="Networks",
            subcategory="{dataset}",
            labels={
                "backbone": "{backbone}",
                "split": "{split}",
                "result": "confusion",
            },
        ),
        first=report(
            "results/finetune/{dataset}/{backbone}/{split}/first.png",
            caption="../workflow/heteroscope/report/captions/network-first.rst",
            category="Networks",
            subcategory="{dataset}",
            labels={
                "backbone": "{backbone}",
                "split": "{split}",
                "result": "sheet of test images",
            },
        ),
        wrong=report(
            "results/finetune/{dataset}/{backbone}/{split}/wrong.png",
            caption="../workflow/heteroscope/report/captions/network-wrong.rst",
            category="Networks",
            subcategory="{dataset}",
            labels={
                "backbone": "{backbone}",
                "split": "{split}",
                "result": "sheet of wrong test images",
            },
        ),
    log:
        "results/logs/network/{dataset}/{backbone}/{split}.log",
    benchmark:
        "results/benchmarks/network/{dataset}/{backbone}/{split}.tsv"
    wildcard_constraints:
        backbone=one_of(layout.trained()),
    conda:
        "../envs/base.yaml"
    threads: layout.config.threads
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        spec=spec_of(layout.finetune_spec),
        folder=lambda wildcards, output: Path(output.metrics).parent,
        threads=threads_flag,
        code=code_digest("heteroscope.stages.network"),
    shell:
        "python -m heteroscope.stages.network {params.threads} --spec {params.spec:q}"
        " --split {input.split:q} --probabilities {input.probabilities:q} --summary {input.summary:q}"
        " --history {input.history:q} --images {input.images:q} --pixels {input.pixels:q} --output {params.folder:q}"
        " 2>&1 | tee {log:q}"
