rule phantom:
    output:
        table="results/phantom/{dataset}/phantom.csv",
        listing="results/dataset/{dataset}/listing.tsv",
    log:
        "results/logs/phantom/{dataset}.log",
    benchmark:
        "results/benchmarks/phantom/{dataset}.tsv"
    wildcard_constraints:
        dataset=one_of(layout.generated()),
    conda:
        "../envs/base.yaml"
    threads: layout.config.threads
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        spec=spec_of(layout.dataset_spec),
        root=of(layout.root),
        threads=threads_flag,
        code=code_digest("heteroscope.stages.phantom"),
    shell:
        "python -m heteroscope.stages.phantom {params.threads}"
        " --spec {params.spec:q} --root {params.root:q} --listing {output.listing:q}"
        " 2>&1 | tee {log:q}"


rule dataset:
    input:
        listing=of(layout.listings),
        members=of(layout.member_images),
    output:
        images="results/dataset/{dataset}/images.parquet",
        rejected="results/dataset/{dataset}/rejected.csv",
        classes="results/dataset/{dataset}/classes.csv",
    log:
        "results/logs/dataset/{dataset}.log",
    benchmark:
        "results/benchmarks/dataset/{dataset}.tsv"
    conda:
        "../envs/base.yaml"
    threads: 8
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        spec=spec_of(layout.dataset_spec),
        # a function of `input` is not tracked: moving the raw folder makes nothing stale
        root=lambda wildcards, input: layout.root_flag(wildcards.dataset),
        listing=lambda wildcards, input: (f"--listing {input.listing}" if input.listing else ""),
        members=of(layout.member_flags),
        threads=threads_flag,
        code=code_digest("heteroscope.stages.dataset"),
    shell:
        "python -m heteroscope.stages.dataset {params.threads} --workers {threads}"
        " --spec {params.spec:q} {params.root:q} {params.listing} {params.members}"
        " --images {output.images:q} --rejected {output.rejected:q} --classes {output.classes:q}"
        " 2>&1 | tee {log:q}"


rule pixels:
    input:
        images="results/dataset/{dataset}/images.parquet",
        # generated photographs that are gone come back before they are decoded
        listing=untracked(layout.listings),
        members=untracked(layout.member_pixels),
        member_digests=digests_of(layout.member_pixels),
    output:
        pixels=update("results/dataset/{dataset}/{pixels}/pixels.h5"),
        digest="results/dataset/{dataset}/{pixels}/pixels.h5.digest",
    log:
        "results/logs/pixels/{dataset}/{pixels}.log",
    benchmark:
        "results/benchmarks/pixels/{dataset}/{pixels}.tsv"
    conda:
        "../envs/base.yaml"
    threads: 8
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        spec=entry("pixels", "pixels"),
        # a function of `input` is not tracked: moving the raw folder makes nothing stale
        root=lambda wildcards, input: layout.root_flag(wildcards.dataset),
        threads=threads_flag,
        code=code_digest("heteroscope.stages.pixels"),
    shell:
        "python -m heteroscope.stages.pixels {params.threads} --workers {threads}"
        " --images {input.images:q} {params.root:q} --spec {params.spec:q} --reuse {input.members:q}"
        " --pixels {output.pixels:q}"
        " 2>&1 | tee {log:q}"
