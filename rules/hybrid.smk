rule hybrid:
    input:
        embeddings=untracked(layout.embeddings_of),
        embedding_digests=digests_of(layout.embeddings_of),
        views=untracked(layout.views_of),
        view_digests=digests_of(layout.views_of),
        split="results/split/{dataset}/{split}.parquet",
        pixels=untracked(layout.handcrafted_pixels),
        pixel_digests=digests_of(layout.handcrafted_pixels),
    output:
        predictions="results/hybrid/{dataset}/{backbone}/{split}/{augmentation}/{hybrid}/predictions.parquet",
        metrics="results/hybrid/{dataset}/{backbone}/{split}/{augmentation}/{hybrid}/metrics.json",
        times="results/benchmarks/hybrid/{dataset}/{backbone}/{split}/{augmentation}/{hybrid}.json",
        confusion=report(
            "results/hybrid/{dataset}/{backbone}/{split}/{augmentation}/{hybrid}/confusion.png",
            caption="../workflow/heteroscope/report/captions/hybrid-confusion.rst",
            category="Hybrids",
            subcategory="{dataset}",
            labels={
                "backbone": "{backbone}",
                "split": "{split}",
                "hybrid": "{hybrid}",
                "figure": "confusion",
            },
        ),
    log:
        "results/logs/hybrid/{dataset}/{backbone}/{split}/{augmentation}/{hybrid}.log",
    benchmark:
        "results/benchmarks/hybrid/{dataset}/{backbone}/{split}/{augmentation}/{hybrid}.tsv"
    conda:
        "../envs/base.yaml"
    threads: layout.config.threads
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        spec=entry("hybrids", "hybrid"),
        augmentation=spec_of(layout.handcrafted_augmentation),
        threads=threads_flag,
        code=code_digest("heteroscope.stages.hybrid"),
    shell:
        "python -m heteroscope.stages.hybrid {params.threads}"
        " --embeddings {input.embeddings:q} --views {input.views:q} --split {input.split:q}"
        " --spec {params.spec:q} --pixels {input.pixels:q} --augmentation {params.augmentation:q}"
        " --predictions {output.predictions:q} --metrics {output.metrics:q} --confusion {output.confusion:q}"
        " --times {output.times:q}"
        " 2>&1 | tee {log:q}"


rule hybrids:
    input:
        files=of(layout.hybrid_files),
        times=untracked(layout.hybrid_times),
    output:
        scores=report(
            "results/compare/{study}/hybrids.csv",
            caption="../workflow/heteroscope/report/captions/hybrids.rst",
            category="Hybrids",
            subcategory="{study}",
            labels={"result": "table of classifiers"},
        ),
        classes=report(
            "results/compare/{study}/hybrid-classes.csv",
            caption="../workflow/heteroscope/report/captions/hybrid-classes.rst",
            category="Hybrids",
            subcategory="{study}",
            labels={"result": "table of classes"},
        ),
        tests=report(
            "results/compare/{study}/hybrid-tests.csv",
            caption="../workflow/heteroscope/report/captions/hybrid-tests.rst",
            category="Hybrids",
            subcategory="{study}",
            labels={"result": "table of paired tests"},
        ),
        times=report(
            "results/compare/{study}/hybrid-times.csv",
            caption="../workflow/heteroscope/report/captions/hybrid-times.rst",
            category="Hybrids",
            subcategory="{study}",
            labels={"result": "table of times"},
        ),
        other_formats=expand(
            "results/compare/{{study}}/{table}.{ending}",
            table=["hybrids", "hybrid-classes", "hybrid-tests", "hybrid-times"],
            ending=["md", "tex"],
        ),
        times_figure=report(
            "results/compare/{study}/hybrid-times.png",
            caption="../workflow/heteroscope/report/captions/hybrid-times.rst",
            category="Hybrids",
            subcategory="{study}",
            labels={"result": "figure of accuracy and time"},
        ),
        confusions=report(
            "results/compare/{study}/hybrid-confusions.png",
            caption="../workflow/heteroscope/report/captions/hybrid-confusions.rst",
            category="Hybrids",
            subcategory="{study}",
            labels={"result": "figure of confusions"},
        ),
    log:
        "results/logs/hybrids/{study}.log",
    benchmark:
        "results/benchmarks/hybrids/{study}.tsv"
    conda:
        "../envs/base.yaml"
    threads: layout.config.threads
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        plan=lambda wildcards: json.dumps(layout.hybrid_models(wildcards.study)),
        folder=lambda wildcards, output: Path(output.scores).parent,
        threads=threads_flag,
        code=code_digest("heteroscope.stages.hybrids"),
    shell:
        "python -m heteroscope.stages.hybrids {params.threads} --plan - --output {params.folder:q}"
        " <<< {params.plan:q} 2>&1 | tee {log:q}"
