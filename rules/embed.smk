rule embed:
    input:
        pixels=untracked(layout.pixels_of),
        pixel_digests=digests_of(layout.pixels_of),
        weights=of(layout.weights),
        members=untracked(layout.member_embeddings),
        member_digests=digests_of(layout.member_embeddings),
    output:
        embeddings=update("results/embed/{dataset}/{backbone}/embeddings.h5"),
        digest="results/embed/{dataset}/{backbone}/embeddings.h5.digest",
    log:
        "results/logs/embed/{dataset}/{backbone}.log",
    benchmark:
        "results/benchmarks/embed/{dataset}/{backbone}.tsv"
    wildcard_constraints:
        backbone=one_of(layout.frozen()),
    conda:
        "../envs/torch.yaml"
    threads: layout.config.threads
    resources:
        mem_mb=memory(6000),
        runtime=240,
        gpu=1,
    params:
        spec=entry("backbones", "backbone"),
        threads=threads_flag,
        code=code_digest("heteroscope.stages.embed"),
    shell:
        "python -m heteroscope.stages.embed {params.threads}"
        " --spec {params.spec:q} --pixels {input.pixels:q} --weights {input.weights:q}"
        " --reuse {input.members:q} --output {output.embeddings:q}"
        " 2>&1 | tee {log:q}"


rule embed_trained:
    input:
        pixels=untracked(layout.pixels_of),
        pixel_digests=digests_of(layout.pixels_of),
        weights=of(layout.weights),
    output:
        embeddings=update("results/embed/{dataset}/{backbone}/{split}/embeddings.h5"),
        digest="results/embed/{dataset}/{backbone}/{split}/embeddings.h5.digest",
    log:
        "results/logs/embed/{dataset}/{backbone}/{split}.log",
    benchmark:
        "results/benchmarks/embed/{dataset}/{backbone}/{split}.tsv"
    wildcard_constraints:
        backbone=one_of(layout.trained()),
    conda:
        "../envs/torch.yaml"
    threads: layout.config.threads
    resources:
        mem_mb=memory(6000),
        runtime=240,
        gpu=1,
    params:
        spec=entry("backbones", "backbone"),
        threads=threads_flag,
        code=code_digest("heteroscope.stages.embed"),
    shell:
        "python -m heteroscope.stages.embed {params.threads}"
        " --spec {params.spec:q} --pixels {input.pixels:q} --weights {input.weights:q}"
        " --output {output.embeddings:q}"
        " 2>&1 | tee {log:q}"


rule views:
    input:
        pixels=untracked(layout.pixels_of),
        pixel_digests=digests_of(layout.pixels_of),
        weights=of(layout.weights),
        split="results/split/{dataset}/{split}.parquet",
    output:
        views=update("results/embed/{dataset}/{backbone}/{split}/{augmentation}/views.h5"),
        digest="results/embed/{dataset}/{backbone}/{split}/{augmentation}/views.h5.digest",
    log:
        "results/logs/embed/{dataset}/{backbone}/{split}/{augmentation}.log",
    benchmark:
        "results/benchmarks/embed/{dataset}/{backbone}/{split}/{augmentation}.tsv"
    wildcard_constraints:
        backbone=one_of(layout.config.backbones),
    conda:
        "../envs/torch.yaml"
    threads: layout.config.threads
    resources:
        mem_mb=memory(6000),
        runtime=240,
        gpu=1,
    params:
        spec=entry("backbones", "backbone"),
        augmentation=entry("augmentations", "augmentation"),
        threads=threads_flag,
        code=code_digest("heteroscope.stages.embed"),
    shell:
        "python -m heteroscope.stages.embed {params.threads}"
        " --spec {params.spec:q} --pixels {input.pixels:q} --weights {input.weights:q}"
        " --split {input.split:q} --augmentation {params.augmentation:q} --output {output.views:q}"
        " 2>&1 | tee {log:q}"
