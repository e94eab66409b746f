"""Speed as ratios, side by side in one process: `python -m benchmarks.speed`."""
