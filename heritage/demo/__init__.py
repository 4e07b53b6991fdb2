"""A small family of real networks on scikit-learn's digits, with a known history, and the stream that drifts."""
