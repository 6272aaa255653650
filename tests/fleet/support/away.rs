//! Things moved out of the way on a host.

use super::Host;

/// Something moved out of the way on a host, until this is dropped.
pub struct Away<'a> {
    host: &'a Host,
    path: String,
}

impl<'a> Away<'a> {
    /// Moves it.
    pub fn take(host: &'a Host, path: &str) -> Self {
        host.exec(&["mv", path, &format!("{path}.away")]);
        Self { host, path: path.to_owned() }
    }
}

impl Drop for Away<'_> {
    fn drop(&mut self) {
        self.host.clean_up(&["mv", &format!("{}.away", self.path), &self.path]);
    }
}
