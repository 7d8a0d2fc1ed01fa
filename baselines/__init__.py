"""The domain: what a plant is, what was approved, what deviates. Pure: standard library only, no I/O, no clock."""
