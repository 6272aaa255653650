//! What a service says about its hosts and its configuration.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Fleet, Service, eventually};

/// A change of a file is read after a fifth of a second, a host that goes after a second more. This is
/// less than the minute after which the files are looked at anyway: that look is no excuse for a watch
/// that is deaf.
pub const NOTICED: Duration = Duration::from_secs(15);

impl Service {
    /// The names of its hosts, in order.
    pub async fn ids(&self) -> Vec<String> {
        let listed = self.structured("host_list", json!({})).await;
        let rows = listed["hosts"].as_array().expect("rows").iter();
        rows.map(|row| row["host"].as_str().expect("a name").to_owned()).collect()
    }

    /// Waits until these are its hosts, as soon as a change of the files is noticed.
    pub async fn wait_hosts(&self, wanted: &[&str]) {
        let what = format!("the hosts are {wanted:?}");
        eventually(&what, NOTICED, async || self.ids().await == wanted).await;
    }

    /// Waits until the row of a host says this, as soon as a change of the files is noticed.
    pub async fn wait_row(&self, host: &str, key: &str, value: impl Into<Value>) {
        let value = value.into();
        let what = format!("{host} has {key} {value}");
        eventually(&what, NOTICED, async || self.row(host).await[key] == value).await;
    }

    /// What is wrong with its configuration; null when nothing is.
    pub async fn faults(&self) -> Value {
        self.structured("host_list", json!({})).await["configuration"].clone()
    }
}

impl Fleet {
    /// The logins of h1, h2 and h3 so far: compare two readings.
    pub fn logins(&self) -> [usize; 3] {
        ["h1", "h2", "h3"].map(|name| self.host(name).ssh_logins())
    }
}
