rule explain:
    input:
        embeddings=untracked(layout.embeddings_of),
        embedding_digests=digests_of(layout.embeddings_of),
        recipes=of(layout.recipes_of),
        weights=untracked(layout.weights_of),  # the recipes hold their digests
        head="results/train/{dataset}/{backbone}/{split}/{augmentation}/{head}/head.h5",
        part_heads=of(layout.part_heads),
        predictions="results/train/{dataset}/{backbone}/{split}/{augmentation}/{head}/predictions.parquet",
        split="results/split/{dataset}/{split}.parquet",
        images="results/dataset/{dataset}/images.parquet",
        pixels=untracked(layout.pixels_of),
        pixel_digests=digests_of(layout.pixels_of),
    output:
        sheet=report(
            "results/explain/{dataset}/{backbone}/{split}/{augmentation}/{head}/{explanation}/examples.png",
            caption="../workflow/heteroscope/report/captions/explain-examples.rst",
            category="Explanations",
            subcategory="{dataset}",
            labels={
                "backbone": "{backbone}",
                "split": "{split}",
                "explanation": "{explanation}",
                "figure": "examples",
            },
        ),
        features_sheet=report(
            "results/explain/{dataset}/{backbone}/{split}/{augmentation}/{head}/{explanation}/features.png",
            caption="../workflow/heteroscope/report/captions/explain-features.rst",
            category="Explanations",
            subcategory="{dataset}",
            labels={
                "backbone": "{backbone}",
                "split": "{split}",
                "explanation": "{explanation}",
                "figure": "single features",
            },
        ),
        cams="results/explain/{dataset}/{backbone}/{split}/{augmentation}/{head}/{explanation}/cams.csv",
        features="results/explain/{dataset}/{backbone}/{split}/{augmentation}/{head}/{explanation}/features.csv",
        summary="results/explain/{dataset}/{backbone}/{split}/{augmentation}/{head}/{explanation}/summary.json",
    log:
        "results/logs/explain/{dataset}/{backbone}/{split}/{augmentation}/{head}/{explanation}.log",
    benchmark:
        "results/benchmarks/explain/{dataset}/{backbone}/{split}/{augmentation}/{head}/{explanation}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: layout.config.threads
    resources:
        mem_mb=growing(6000),
        runtime=growing(120),
    params:
        spec=entry("explanations", "explanation"),
        part=of(layout.tested_part),
        pixels_spec=spec_of(layout.pixels_spec_of),
        roots=lambda wildcards: json.dumps(layout.roots(wildcards.dataset)),
        threads=threads_flag,
        code=code_digest("heteroscope.stages.explain"),
    shell:
        "python -m heteroscope.stages.explain {params.threads} --backbone {wildcards.backbone:q}"
        " --embeddings {input.embeddings:q} --recipes {input.recipes:q} --weights {input.weights:q}"
        " --head {input.head:q} --part-heads {input.part_heads:q} --predictions {input.predictions:q}"
        " --split {input.split:q} --images {input.images:q}"
        " --pixels {input.pixels:q} --pixels-spec {params.pixels_spec:q} --roots {params.roots:q}"
        " --spec {params.spec:q} --part {params.part}"
        " --sheet {output.sheet:q} --features-sheet {output.features_sheet:q}"
        " --cams {output.cams:q} --features {output.features:q} --summary {output.summary:q}"
        " 2>&1 | tee {log:q}"


rule explanations:
    input:
        files=of(layout.explained_files),
    output:
        table=report(
            "results/compare/{study}/explanations.csv",
            caption="../workflow/heteroscope/report/captions/explanations.rst",
            category="Explanations",
            subcategory="{study}",
            labels={"result": "table of the pointing game"},
        ),
        other_formats=expand("results/compare/{{study}}/explanations.{ending}", ending=["md", "tex"]),
    log:
        "results/logs/explanations/{study}.log",
    benchmark:
        "results/benchmarks/explanations/{study}.tsv"
    conda:
        "../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        plan=lambda wildcards: json.dumps(layout.explained(wildcards.study)),
        threads=threads_flag,
        code=code_digest("heteroscope.stages.explanations"),
    shell:
        "python -m heteroscope.stages.explanations {params.threads} --plan - --table {output.table:q}"
        " <<< {params.plan:q} 2>&1 | tee {log:q}"
