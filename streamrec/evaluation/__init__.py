"""How well a model does: metrics, intervals, reports, cross-validation, thresholds, speed."""
