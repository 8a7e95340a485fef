//! The page of metrics is the metrics.
