# {network} is a backbone, with the split that it is trained on if it is trained: efficientnet-b0, or small-cnn/holdout
rule engine:
    input:
        pixels=untracked(layout.pixels_of),
        pixel_digests=digests_of(layout.pixels_of),
        weights=of(layout.weights),
    output:
        recipe=update("results/embed/{dataset}/{network}/engine.json"),
    log:
        "results/logs/engine/{dataset}/{network}.log",
    benchmark:
        "results/benchmarks/engine/{dataset}/{network}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 8
    resources:
        mem_mb=growing(6000),
        runtime=growing(30),
        gpu=1,
    params:
        spec=spec_of(layout.engine_spec),
        threads=threads_flag,
        code=code_digest("heteroscope.stages.engine"),
    shell:
        "python -m heteroscope.stages.engine {params.threads} --workers {threads}"
        " --spec {params.spec:q} --pixels {input.pixels:q} --weights {input.weights:q}"
        " --cache results/cache/networks --output {output.recipe:q}"
        " 2>&1 | tee {log:q}"


rule embed:
    input:
        recipe=of(layout.recipe),
        pixels=untracked(layout.pixels_of),
        pixel_digests=digests_of(layout.pixels_of),
        weights=untracked(layout.weights),  # the recipe holds their digest
        parts=untracked(layout.parts_of_embeddings),
        part_digests=digests_of(layout.parts_of_embeddings),
    output:
        features=update("results/embed/{dataset}/{network}/embeddings.h5"),
        digest="results/embed/{dataset}/{network}/embeddings.h5.digest",
    log:
        "results/logs/embed/{dataset}/{network}.log",
    benchmark:
        "results/benchmarks/embed/{dataset}/{network}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 8
    resources:
        mem_mb=growing(6000),
        runtime=growing(240),
        gpu=1,  # of a join too: it computes what no part holds, such as images that a changed table lets in
    params:
        views=[],
        shard=[],
        known=lambda wildcards, input: input.parts,
        threads=threads_flag,
        code=code_digest("heteroscope.stages.embed"),
    shell:
        "python -m heteroscope.stages.embed {params.threads} --workers {threads}"
        " --recipe {input.recipe:q} --pixels {input.pixels:q} --weights {input.weights:q}"
        " {params.views:q} {params.shard} --reuse {params.known:q}"
        " --cache results/cache/networks --output {output.features:q}"
        " 2>&1 | tee {log:q}"


use rule embed as views with:
    input:
        recipe=of(layout.recipe),
        pixels=untracked(layout.pixels_of),
        pixel_digests=digests_of(layout.pixels_of),
        weights=untracked(layout.weights),
        split="results/split/{dataset}/{split}.parquet",
        parts=untracked(layout.parts_of_views),
        part_digests=digests_of(layout.parts_of_views),
    output:
        features=update("results/embed/{dataset}/{backbone}/{split}/{augmentation}/views.h5"),
        digest="results/embed/{dataset}/{backbone}/{split}/{augmentation}/views.h5.digest",
    log:
        "results/logs/embed/{dataset}/{backbone}/{split}/{augmentation}.log",
    benchmark:
        "results/benchmarks/embed/{dataset}/{backbone}/{split}/{augmentation}.tsv"
    wildcard_constraints:
        backbone=one_of(layout.config.backbones),
    params:
        views=of(layout.view_flags),


# Snakemake runs every job behind one that runs, unless all files between them are untracked, and then it looks at no
# params of the later one. So what makes a shard stale stands in a file of its own, behind nothing that runs for others.
rule shard:
    input:
        weights=of(layout.weights),
        listings=of(layout.shard_listings),
    output:
        contents="results/embed/{dataset}/{network}/shards/{shards}/{shard}.txt",
    log:
        "results/logs/shard/{dataset}/{network}/{shards}/{shard}.log",
    benchmark:
        "results/benchmarks/shard/{dataset}/{network}/{shards}/{shard}.tsv"
    conda:
        "../envs/base.yaml"
    threads: 1
    params:
        contents=of(layout.shard_contents),
        dataset=spec_of(layout.dataset_spec),
        pixels=spec_of(layout.pixels_spec),
        engine=spec_of(layout.engine_spec),
        threads=threads_flag,
        pixels_code=code_digest("heteroscope.stages.pixels"),
        engine_code=code_digest("heteroscope.stages.engine"),
        code=code_digest("heteroscope.stages.embed"),
    shell:
        "{{ printf '%s\\n' {params:q}; cat {input:q} | cksum; }} > {output.contents:q} 2> {log:q}"


use rule embed as embed_shard with:
    input:
        contents="results/embed/{dataset}/{network}/shards/{shards}/{shard}.txt",
        recipe=untracked(layout.recipe),
        pixels=untracked(layout.pixels_of),
        weights=untracked(layout.weights),
    output:
        features=update("results/embed/{dataset}/{network}/shards/{shards}/{shard}.h5"),
        digest="results/embed/{dataset}/{network}/shards/{shards}/{shard}.h5.digest",
    log:
        "results/logs/embed/{dataset}/{network}/shards/{shards}/{shard}.log",
    benchmark:
        "results/benchmarks/embed/{dataset}/{network}/shards/{shards}/{shard}.tsv"
    params:
        shard=of(layout.shard_flag),
        known=of(layout.embeddings),  # a file that may not be there yet


use rule views as views_shard with:
    input:
        recipe=of(layout.recipe),
        pixels=untracked(layout.pixels_of),
        pixel_digests=digests_of(layout.pixels_of),
        weights=untracked(layout.weights),
        split="results/split/{dataset}/{split}.parquet",
    output:
        features=update("results/embed/{dataset}/{backbone}/{split}/{augmentation}/shards/{shards}/{shard}.h5"),
        digest="results/embed/{dataset}/{backbone}/{split}/{augmentation}/shards/{shards}/{shard}.h5.digest",
    log:
        "results/logs/embed/{dataset}/{backbone}/{split}/{augmentation}/shards/{shards}/{shard}.log",
    benchmark:
        "results/benchmarks/embed/{dataset}/{backbone}/{split}/{augmentation}/shards/{shards}/{shard}.tsv"
    params:
        shard=of(layout.shard_flag),
        known=of(layout.views),
