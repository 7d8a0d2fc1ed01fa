"""What asbuilt costs, measured. `python -m benchmarks [NAME…]` writes docs/BENCHMARKS.md; nothing here is a test."""
