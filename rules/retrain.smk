rule retrain:
    input:
        embeddings=untracked(layout.embeddings_of),
        embedding_digests=digests_of(layout.embeddings_of),
        views=untracked(layout.views_of),
        view_digests=digests_of(layout.views_of),
        split="results/split/{dataset}/{split}.parquet",
        assignments=of(layout.assignments),
    output:
        cluster="results/retrain/{dataset}/{backbone}/{split}/{augmentation}/{clustering}/{head}/{controls}/cluster-{cluster}/cluster.h5",
        size="results/retrain/{dataset}/{backbone}/{split}/{augmentation}/{clustering}/{head}/{controls}/cluster-{cluster}/size.h5",
        balanced="results/retrain/{dataset}/{backbone}/{split}/{augmentation}/{clustering}/{head}/{controls}/cluster-{cluster}/balanced.h5",
    log:
        "results/logs/retrain/{dataset}/{backbone}/{split}/{augmentation}/{clustering}/{head}/{controls}/cluster-{cluster}.log",
    benchmark:
        "results/benchmarks/retrain/{dataset}/{backbone}/{split}/{augmentation}/{clustering}/{head}/{controls}/cluster-{cluster}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: layout.config.threads
    resources:
        mem_mb=growing(6000),
        runtime=growing(60),
    params:
        head=entry("heads", "head"),
        controls=controls_of("retrain"),
        fold=of(layout.fold_flag),
        threads=threads_flag,
        code=code_digest("heteroscope.stages.retrain"),
    shell:
        "python -m heteroscope.stages.retrain {params.threads}"
        " --embeddings {input.embeddings:q} --views {input.views:q} --split {input.split:q}"
        " --assignments {input.assignments:q} --head {params.head:q} --controls {params.controls:q}"
        " --cluster {wildcards.cluster} {params.fold} --cluster-runs {output.cluster:q} --size-runs {output.size:q}"
        " --balanced-runs {output.balanced:q}"
        " 2>&1 | tee {log:q}"


rule redraw:
    input:
        embeddings=untracked(layout.embeddings_of),
        embedding_digests=digests_of(layout.embeddings_of),
        views=untracked(layout.views_of),
        view_digests=digests_of(layout.views_of),
        split="results/split/{dataset}/{split}.parquet",
        assignments="results/cluster/{dataset}/{backbone}/{split}/{augmentation}/{clustering}/assignments.parquet",
    output:
        label_sets="results/retrain/{dataset}/{backbone}/{split}/{augmentation}/{clustering}/{head}/{controls}/label-sets.h5",
    log:
        "results/logs/retrain/{dataset}/{backbone}/{split}/{augmentation}/{clustering}/{head}/{controls}/redraw.log",
    benchmark:
        "results/benchmarks/retrain/{dataset}/{backbone}/{split}/{augmentation}/{clustering}/{head}/{controls}/redraw.tsv"
    conda:
        "../envs/base.yaml"
    threads: layout.config.threads
    resources:
        mem_mb=growing(6000),
        runtime=growing(60),
    params:
        head=spec_of(layout.redraw_head),
        controls=controls_of("redraw"),
        threads=threads_flag,
        code=code_digest("heteroscope.stages.redraw"),
    shell:
        "python -m heteroscope.stages.redraw {params.threads}"
        " --embeddings {input.embeddings:q} --views {input.views:q} --split {input.split:q}"
        " --assignments {input.assignments:q}"
        " --head {params.head:q} --controls {params.controls:q} --label-sets {output.label_sets:q}"
        " 2>&1 | tee {log:q}"


rule labels:
    input:
        embeddings=untracked(layout.embeddings_of),
        embedding_digests=digests_of(layout.embeddings_of),
        views=untracked(layout.views_of),
        view_digests=digests_of(layout.views_of),
        split="results/split/{dataset}/{split}.parquet",
        assignments=of(layout.assignments),
        label_sets=of(layout.label_sets),
    output:
        labels="results/retrain/{dataset}/{backbone}/{split}/{augmentation}/{clustering}/{head}/{controls}/labels.h5",
    log:
        "results/logs/retrain/{dataset}/{backbone}/{split}/{augmentation}/{clustering}/{head}/{controls}/labels.log",
    benchmark:
        "results/benchmarks/retrain/{dataset}/{backbone}/{split}/{augmentation}/{clustering}/{head}/{controls}/labels.tsv"
    conda:
        "../envs/torch.yaml"
    threads: layout.config.threads
    resources:
        mem_mb=growing(6000),
        runtime=growing(120),
    params:
        head=entry("heads", "head"),
        controls=controls_of("labels"),
        fold=of(layout.fold_flag),
        threads=threads_flag,
        code=code_digest("heteroscope.stages.labels"),
    shell:
        "python -m heteroscope.stages.labels {params.threads}"
        " --embeddings {input.embeddings:q} --views {input.views:q} --split {input.split:q}"
        " --assignments {input.assignments:q}"
        " --label-sets {input.label_sets:q} {params.fold}"
        " --head {params.head:q} --controls {params.controls:q} --labels {output.labels:q}"
        " 2>&1 | tee {log:q}"


rule gaussian:
    input:
        embeddings=untracked(layout.embeddings_of),
        embedding_digests=digests_of(layout.embeddings_of),
        views=untracked(layout.views_of),
        view_digests=digests_of(layout.views_of),
        split="results/split/{dataset}/{split}.parquet",
    output:
        gaussian="results/retrain/{dataset}/{backbone}/{split}/{augmentation}/{clustering}/{head}/{controls}/gaussian.h5",
    log:
        "results/logs/retrain/{dataset}/{backbone}/{split}/{augmentation}/{clustering}/{head}/{controls}/gaussian.log",
    benchmark:
        "results/benchmarks/retrain/{dataset}/{backbone}/{split}/{augmentation}/{clustering}/{head}/{controls}/gaussian.tsv"
    conda:
        "../envs/torch.yaml"
    threads: layout.config.threads
    resources:
        mem_mb=growing(6000),
        runtime=growing(60),
    params:
        clustering=entry("clusterings", "clustering"),
        head=entry("heads", "head"),
        controls=controls_of("gaussian"),
        threads=threads_flag,
        code=code_digest("heteroscope.stages.gaussian"),
    shell:
        "python -m heteroscope.stages.gaussian {params.threads}"
        " --embeddings {input.embeddings:q} --views {input.views:q} --split {input.split:q}"
        " --clustering {params.clustering:q} --head {params.head:q} --controls {params.controls:q}"
        " --gaussian {output.gaussian:q}"
        " 2>&1 | tee {log:q}"
