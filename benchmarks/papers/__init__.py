"""Published figures, theorems and predictions beside ours: "claim, ours, verdict"."""
