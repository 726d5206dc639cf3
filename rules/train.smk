rule train:
    input:
        embeddings=untracked(layout.embeddings_of),
        embedding_digests=digests_of(layout.embeddings_of),
        views=untracked(layout.views_of),
        view_digests=digests_of(layout.views_of),
        split="results/split/{dataset}/{split}.parquet",
    output:
        predictions="results/train/{dataset}/{backbone}/{split}/{augmentation}/{head}/predictions.parquet",
        metrics="results/train/{dataset}/{backbone}/{split}/{augmentation}/{head}/metrics.json",
        history="results/train/{dataset}/{backbone}/{split}/{augmentation}/{head}/history.csv",
        trained="results/train/{dataset}/{backbone}/{split}/{augmentation}/{head}/head.h5",
        times="results/benchmarks/train/{dataset}/{backbone}/{split}/{augmentation}/{head}.json",
    log:
        "results/logs/train/{dataset}/{backbone}/{split}/{augmentation}/{head}.log",
    benchmark:
        "results/benchmarks/train/{dataset}/{backbone}/{split}/{augmentation}/{head}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: layout.config.threads
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        head=entry("heads", "head"),
        threads=threads_flag,
        code=code_digest("heteroscope.stages.train"),
    shell:
        "python -m heteroscope.stages.train {params.threads}"
        " --embeddings {input.embeddings:q} --views {input.views:q} --split {input.split:q}"
        " --head {params.head:q} --predictions {output.predictions:q} --metrics {output.metrics:q}"
        " --history {output.history:q} --trained {output.trained:q} --times {output.times:q}"
        " 2>&1 | tee {log:q}"


rule curve:
    input:
        embeddings=untracked(layout.embeddings_of),
        embedding_digests=digests_of(layout.embeddings_of),
        views=untracked(layout.views_of),
        view_digests=digests_of(layout.views_of),
        split="results/split/{dataset}/{split}.parquet",
    output:
        curve="results/train/{dataset}/{backbone}/{split}/{augmentation}/{head}/curve.parquet",
    log:
        "results/logs/curve/{dataset}/{backbone}/{split}/{augmentation}/{head}.log",
    benchmark:
        "results/benchmarks/curve/{dataset}/{backbone}/{split}/{augmentation}/{head}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: layout.config.threads
    resources:
        mem_mb=growing(6000),
        runtime=growing(60),
    params:
        head=entry("heads", "head"),
        threads=threads_flag,
        code=code_digest("heteroscope.stages.curve"),
    shell:
        "python -m heteroscope.stages.curve {params.threads}"
        " --embeddings {input.embeddings:q} --views {input.views:q} --split {input.split:q}"
        " --head {params.head:q} --curve {output.curve:q}"
        " 2>&1 | tee {log:q}"
