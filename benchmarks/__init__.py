"""The built-in benchmarks; each file registers one. What they measure: README.md."""
