//! `dockmaster init`: a first hosts file, and the hosts of the ssh configuration to choose from.
