//! Schedules: a kernel for each planned step.
