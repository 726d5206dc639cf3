rule cluster:
    input:
        embeddings=untracked(layout.embeddings_of),
        embedding_digests=digests_of(layout.embeddings_of),
        views=untracked(layout.views_of),
        view_digests=digests_of(layout.views_of),
        split="results/split/{dataset}/{split}.parquet",
        images="results/dataset/{dataset}/images.parquet",
        pixels=untracked(layout.pixels_of),
    output:
        assignments="results/cluster/{dataset}/{backbone}/{split}/{augmentation}/{clustering}/assignments.parquet",
        distances="results/cluster/{dataset}/{backbone}/{split}/{augmentation}/{clustering}/distances.csv",
        projections="results/cluster/{dataset}/{backbone}/{split}/{augmentation}/{clustering}/projections.parquet",
        quality="results/cluster/{dataset}/{backbone}/{split}/{augmentation}/{clustering}/quality.json",
        centroid_distances=report(
            "results/cluster/{dataset}/{backbone}/{split}/{augmentation}/{clustering}/centroid-distances.png",
            caption="../workflow/heteroscope/report/captions/centroid-distances.rst",
            category="Clusters",
            subcategory="{dataset}",
            labels={
                "backbone": "{backbone}",
                "clustering": "{clustering}",
                "figure": "centroid distances",
            },
        ),
        pca=report(
            "results/cluster/{dataset}/{backbone}/{split}/{augmentation}/{clustering}/pca.png",
            caption="../workflow/heteroscope/report/captions/pca.rst",
            category="Clusters",
            subcategory="{dataset}",
            labels={
                "backbone": "{backbone}",
                "clustering": "{clustering}",
                "figure": "PCA",
            },
        ),
        umap=report(
            "results/cluster/{dataset}/{backbone}/{split}/{augmentation}/{clustering}/umap.png",
            caption="../workflow/heteroscope/report/captions/umap.rst",
            category="Clusters",
            subcategory="{dataset}",
            labels={
                "backbone": "{backbone}",
                "clustering": "{clustering}",
                "figure": "UMAP",
            },
        ),
        dendrogram=report(
            "results/cluster/{dataset}/{backbone}/{split}/{augmentation}/{clustering}/dendrogram.png",
            caption="../workflow/heteroscope/report/captions/dendrogram.rst",
            category="Clusters",
            subcategory="{dataset}",
            labels={
                "backbone": "{backbone}",
                "clustering": "{clustering}",
                "figure": "dendrogram",
            },
        ),
        exemplars=report(
            "results/cluster/{dataset}/{backbone}/{split}/{augmentation}/{clustering}/exemplars.png",
            caption="../workflow/heteroscope/report/captions/exemplars.rst",
            category="Clusters",
            subcategory="{dataset}",
            labels={
                "backbone": "{backbone}",
                "clustering": "{clustering}",
                "figure": "exemplars",
            },
        ),
    log:
        "results/logs/cluster/{dataset}/{backbone}/{split}/{augmentation}/{clustering}.log",
    benchmark:
        "results/benchmarks/cluster/{dataset}/{backbone}/{split}/{augmentation}/{clustering}.tsv"
    conda:
        "../envs/base.yaml"
    threads: layout.config.threads
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        spec=entry("clusterings", "clustering"),
        figures=lambda wildcards, output: Path(output.pca).parent,
        threads=threads_flag,
        code=code_digest("heteroscope.stages.cluster"),
    shell:
        "python -m heteroscope.stages.cluster {params.threads}"
        " --embeddings {input.embeddings:q} --views {input.views:q} --split {input.split:q}"
        " --images {input.images:q} --pixels {input.pixels:q} --spec {params.spec:q}"
        " --assignments {output.assignments:q} --distances {output.distances:q}"
        " --projections {output.projections:q} --quality {output.quality:q}"
        " --figures {params.figures:q}"
        " 2>&1 | tee {log:q}"


rule stability:
    input:
        embeddings=untracked(layout.embeddings_of),
        embedding_digests=digests_of(layout.embeddings_of),
        views=untracked(layout.views_of),
        view_digests=digests_of(layout.views_of),
        split="results/split/{dataset}/{split}.parquet",
        assignments="results/cluster/{dataset}/{backbone}/{split}/{augmentation}/{clustering}/assignments.parquet",
    output:
        stability="results/cluster/{dataset}/{backbone}/{split}/{augmentation}/{clustering}/stability.json",
    log:
        "results/logs/stability/{dataset}/{backbone}/{split}/{augmentation}/{clustering}.log",
    benchmark:
        "results/benchmarks/stability/{dataset}/{backbone}/{split}/{augmentation}/{clustering}.tsv"
    conda:
        "../envs/base.yaml"
    threads: layout.config.threads
    resources:
        mem_mb=growing(6000),
        runtime=growing(120),
    params:
        spec=entry("clusterings", "clustering"),
        threads=threads_flag,
        code=code_digest("heteroscope.stages.stability"),
    shell:
        "python -m heteroscope.stages.stability {params.threads}"
        " --embeddings {input.embeddings:q} --views {input.views:q} --split {input.split:q}"
        " --assignments {input.assignments:q} --spec {params.spec:q} --stability {output.stability:q}"
        " 2>&1 | tee {log:q}"
