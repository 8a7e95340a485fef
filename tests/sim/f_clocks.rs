//! Blooms that say nothing and clocks that jump: F16, F26.
