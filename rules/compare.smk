rule compare:
    input:
        files=of(layout.compared_files),
        images=of(layout.images_of_study),
        split=of(layout.split_of_study),
    output:
        clusters=report(
            "results/compare/{study}/clusters.csv",
            caption="../workflow/heteroscope/report/captions/clusters.rst",
            category="Comparison",
            subcategory="{study}",
            labels={"result": "clusters table"},
        ),
        baseline=report(
            "results/compare/{study}/baseline.csv",
            caption="../workflow/heteroscope/report/captions/baseline.rst",
            category="Comparison",
            subcategory="{study}",
            labels={"result": "baseline table"},
        ),
        transfer=report(
            "results/compare/{study}/transfer.csv",
            caption="../workflow/heteroscope/report/captions/transfer.rst",
            category="Comparison",
            subcategory="{study}",
            labels={"result": "transfer table"},
        ),
        attributes=report(
            "results/compare/{study}/attributes.csv",
            caption="../workflow/heteroscope/report/captions/attributes.rst",
            category="Comparison",
            subcategory="{study}",
            labels={"result": "attributes table"},
        ),
        attribute_scores=report(
            "results/compare/{study}/attribute-scores.csv",
            caption="../workflow/heteroscope/report/captions/attribute-scores.rst",
            category="Comparison",
            subcategory="{study}",
            labels={"result": "attribute scores table"},
        ),
        curve=report(
            "results/compare/{study}/curve.csv",
            caption="../workflow/heteroscope/report/captions/curve.rst",
            category="Comparison",
            subcategory="{study}",
            labels={"result": "curve table"},
        ),
        sensitivity=report(
            "results/compare/{study}/sensitivity.csv",
            caption="../workflow/heteroscope/report/captions/sensitivity.rst",
            category="Comparison",
            subcategory="{study}",
            labels={"result": "sensitivity table"},
        ),
        metrics=report(
            "results/compare/{study}/metrics.csv",
            caption="../workflow/heteroscope/report/captions/metrics.rst",
            category="Comparison",
            subcategory="{study}",
            labels={"result": "metrics table"},
        ),
        confusion=report(
            "results/compare/{study}/confusion.csv",
            caption="../workflow/heteroscope/report/captions/confusion.rst",
            category="Comparison",
            subcategory="{study}",
            labels={"result": "confusion table"},
        ),
        other_formats=expand(
            "results/compare/{{study}}/{table}.{ending}",
            table=TABLES,
            ending=["md", "tex"],
        ),
        verdict=report(
            "results/compare/{study}/verdict.json",
            caption="../workflow/heteroscope/report/captions/verdict.rst",
            category="Comparison",
            subcategory="{study}",
            labels={"result": "verdict"},
        ),
        retraining=report(
            "results/compare/{study}/retraining.png",
            caption="../workflow/heteroscope/report/captions/retraining.rst",
            category="Comparison",
            subcategory="{study}",
            labels={"result": "retraining figure"},
        ),
        gain=report(
            "results/compare/{study}/gain.png",
            caption="../workflow/heteroscope/report/captions/gain.rst",
            category="Comparison",
            subcategory="{study}",
            labels={"result": "gain figure"},
        ),
        power=report(
            "results/compare/{study}/power.png",
            caption="../workflow/heteroscope/report/captions/power.rst",
            category="Comparison",
            subcategory="{study}",
            labels={"result": "power figure"},
        ),
        curve_figure=report(
            "results/compare/{study}/curve.png",
            caption="../workflow/heteroscope/report/captions/curve.rst",
            category="Comparison",
            subcategory="{study}",
            labels={"result": "curve figure"},
        ),
        transfer_figure=report(
            "results/compare/{study}/transfer.png",
            caption="../workflow/heteroscope/report/captions/transfer.rst",
            category="Comparison",
            subcategory="{study}",
            labels={"result": "transfer figure"},
        ),
        baseline_figure=report(
            "results/compare/{study}/baseline.png",
            caption="../workflow/heteroscope/report/captions/baseline.rst",
            category="Comparison",
            subcategory="{study}",
            labels={"result": "baseline figure"},
        ),
        attribute_scores_figure=report(
            "results/compare/{study}/attribute-scores.png",
            caption="../workflow/heteroscope/report/captions/attribute-scores.rst",
            category="Comparison",
            subcategory="{study}",
            labels={"result": "attribute scores figure"},
        ),
        sensitivity_figure=report(
            "results/compare/{study}/sensitivity.png",
            caption="../workflow/heteroscope/report/captions/sensitivity.rst",
            category="Comparison",
            subcategory="{study}",
            labels={"result": "sensitivity figure"},
        ),
        confusion_figure=report(
            "results/compare/{study}/confusion.png",
            caption="../workflow/heteroscope/report/captions/confusion.rst",
            category="Comparison",
            subcategory="{study}",
            labels={"result": "confusion figure"},
        ),
    log:
        "results/logs/compare/{study}.log",
    benchmark:
        "results/benchmarks/compare/{study}.tsv"
    conda:
        "../envs/base.yaml"
    threads: layout.config.threads
    resources:
        # all analyses are held at once; one of 8,000 test images takes 0.9 GB
        mem_mb=growing(lambda wildcards: 1000 + 1000 * len(layout.analyses(wildcards.study))),
        runtime=growing(30),
    params:
        context=spec_of(layout.context),
        plan=lambda wildcards: json.dumps(layout.analyses(wildcards.study)),
        folder=lambda wildcards, output: Path(output.verdict).parent,
        threads=threads_flag,
        code=code_digest("heteroscope.stages.compare"),
    shell:
        "python -m heteroscope.stages.compare {params.threads}"
        " --context {params.context:q} --plan - --images {input.images:q}"
        " --split {input.split:q} --output {params.folder:q}"
        " <<< {params.plan:q} 2>&1 | tee {log:q}"
