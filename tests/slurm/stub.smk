# Jobs that try a profile out. Rules that the profile knows carry the workflow's names.


def growing(amount):
    return lambda wildcards, attempt: amount * attempt


rule all:
    input:
        expand("gpu-{number}", number=range(2)),
        "network",
        "hungry",
        "slow",


rule embed:
    output:
        "gpu-{number}",
    resources:
        mem_mb=growing(500),
        runtime=growing(5),
        gpu=1,
    shell:
        "sleep 2; echo $CUDA_VISIBLE_DEVICES > {output}"


rule finetune:
    output:
        "network",
    resources:
        mem_mb=growing(500),
        runtime=growing(5),
        gpu=1,
    shell:
        "sleep 2; echo $CUDA_VISIBLE_DEVICES > {output}"


# Snakemake itself takes a part of the memory
rule hungry:
    output:
        "hungry",
    resources:
        mem_mb=growing(800),
        runtime=growing(5),
    shell:
        """python -c 'import time; held = b"x" * (900 << 20); time.sleep(8)'; echo {resources.mem_mb} > {output}"""


rule slow:
    output:
        "slow",
    resources:
        mem_mb=growing(500),
        runtime=growing(1),
    shell:
        "[ {resources.runtime} -gt 1 ] || sleep 600; echo {resources.runtime} > {output}"


rule long_study:
    input:
        expand("short-{number}", number=range(2)),
        expand("long-{number}", number=range(2)),


rule short:
    output:
        "short-{number}",
    resources:
        mem_mb=growing(500),
        runtime=growing(5),
    shell:
        "touch {output}"


# waits for the file `go`
rule long:
    output:
        "long-{number}",
    resources:
        mem_mb=growing(500),
        runtime=growing(5),
    shell:
        "until [ -e go ]; do sleep 0.2; done; touch {output}"
