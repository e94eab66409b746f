"""Benchmarks of stackjax: `speed` (ratios side by side) and `papers` (published figures beside ours)."""
