localrules:
    weights,  # the submitting host may have a network where the compute nodes have none


rule weights:
    input:
        given=of(layout.weights_files),
    output:
        weights="results/weights/{backbone}.pt",
    log:
        "results/logs/weights/{backbone}.log",
    benchmark:
        "results/benchmarks/weights/{backbone}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        spec=spec_of(layout.weights_spec),
        threads=threads_flag,
        code=code_digest("heteroscope.stages.weights"),
    shell:
        "python -m heteroscope.stages.weights {params.threads}"
        " --backbone-id {wildcards.backbone:q} --spec {params.spec:q} --output {output.weights:q}"
        " 2>&1 | tee {log:q}"


rule finetune:
    input:
        pixels=untracked(layout.pixels_of),
        pixel_digests=digests_of(layout.pixels_of),
        split="results/split/{dataset}/{split}.parquet",
        weights="results/weights/{backbone}.pt",
    output:
        model="results/finetune/{dataset}/{backbone}/{split}/model.pt",
        history="results/finetune/{dataset}/{backbone}/{split}/history.csv",
        probabilities="results/finetune/{dataset}/{backbone}/{split}/probabilities.parquet",
        summary="results/finetune/{dataset}/{backbone}/{split}/network.json",
        times="results/benchmarks/finetune/{dataset}/{backbone}/{split}.json",
    log:
        "results/logs/finetune/{dataset}/{backbone}/{split}.log",
    benchmark:
        "results/benchmarks/finetune/{dataset}/{backbone}/{split}.tsv"
    wildcard_constraints:
        backbone=one_of(layout.trained()),
    conda:
        "../envs/torch.yaml"
    threads: layout.config.threads
    resources:
        mem_mb=growing(6000),
        runtime=growing(240),
        gpu=1,
    params:
        spec=spec_of(layout.finetune_spec),
        augmentation=spec_of(layout.finetune_augmentation),
        logs=lambda wildcards, output: f"results/logs/finetune/{wildcards.dataset}/{wildcards.backbone}/{wildcards.split}",
        threads=threads_flag,
        code=code_digest("heteroscope.stages.finetune"),
    shell:
        "python -m heteroscope.stages.finetune {params.threads}"
        " --spec {params.spec:q} --augmentation {params.augmentation:q} --pixels {input.pixels:q}"
        " --split {input.split:q} --split-id {wildcards.split:q} --weights {input.weights:q}"
        " --model {output.model:q} --history {output.history:q} --probabilities {output.probabilities:q}"
        " --summary {output.summary:q} --times {output.times:q} --logs {params.logs:q}"
        " 2>&1 | tee {log:q}"
