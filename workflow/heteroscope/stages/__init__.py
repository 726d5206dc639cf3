"""Command lines of the workflow, one module a rule: parse, load, call, save."""
