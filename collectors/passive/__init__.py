"""Hearing the plant: frames → source → headers (a batch at a time) → novelty → protocols (pure) → what was heard.

Nothing here sends: no module of this package may, and a test holds that.
"""
