"""What the workflow bears: faults, clusters, scale. Run by `make`, written up below docs/reliability."""
