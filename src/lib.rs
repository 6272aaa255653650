//! Dockmaster.
