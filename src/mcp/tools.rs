//! The tools: one file each, with its parameters, its answer and how it comes about.

mod container_exec;
mod container_file_read;
mod container_file_write;
mod container_inspect;
mod container_list;
mod container_logs;
mod container_recreate;
mod container_remove;
mod container_restart;
mod container_run;
mod container_start;
mod container_stats;
mod container_stop;
mod container_update;
mod disk_usage;
mod event_query;
mod fleet_search;
mod fleet_status;
mod host_add;
mod host_import;
mod host_inspect;
mod host_list;
mod host_remove;
mod host_test;
mod host_update;
mod image_build;
mod image_copy;
mod image_inspect;
mod image_list;
mod image_pull;
mod image_push;
mod image_remove;
mod image_tag;
mod image_updates;
mod job_cancel;
mod job_get;
mod job_list;
mod network_connect;
mod network_create;
mod network_disconnect;
mod network_list;
mod network_remove;
mod port_list;
mod prune;
mod rollout;
mod stack_file_read;
mod stack_inspect;
mod stack_list;
mod stack_logs;
mod volume_copy;
mod volume_create;
mod volume_list;
mod volume_remove;

use super::tool::Tool;

/// Every tool there is.
pub(super) fn all() -> Vec<Tool> {
    vec![
        host_list::tool(),
        host_inspect::tool(),
        host_test::tool(),
        host_add::tool(),
        host_import::tool(),
        host_update::tool(),
        host_remove::tool(),
        container_list::tool(),
        container_inspect::tool(),
        container_file_read::tool(),
        container_logs::tool(),
        container_stats::tool(),
        container_start::tool(),
        container_stop::tool(),
        container_restart::tool(),
        container_remove::tool(),
        container_run::tool(),
        container_update::tool(),
        container_recreate::tool(),
        container_exec::tool(),
        container_file_write::tool(),
        image_list::tool(),
        image_inspect::tool(),
        image_updates::tool(),
        image_build::tool(),
        image_copy::tool(),
        image_pull::tool(),
        image_push::tool(),
        image_tag::tool(),
        image_remove::tool(),
        volume_list::tool(),
        volume_copy::tool(),
        volume_create::tool(),
        volume_remove::tool(),
        network_list::tool(),
        network_create::tool(),
        network_connect::tool(),
        network_disconnect::tool(),
        network_remove::tool(),
        stack_list::tool(),
        stack_inspect::tool(),
        rollout::tool(),
        stack_file_read::tool(),
        stack_logs::tool(),
        disk_usage::tool(),
        fleet_status::tool(),
        fleet_search::tool(),
        port_list::tool(),
        event_query::tool(),
        prune::tool(),
        job_list::tool(),
        job_get::tool(),
        job_cancel::tool(),
    ]
}
