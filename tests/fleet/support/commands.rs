//! What is run on a host in the name of `ops`, as the login's shell is asked for it.

use super::Host;

const SHELL: &str = "/usr/local/bin/telling-sh";
const TOLD: &str = "/var/tmp/told-commands";

/// The commands of `ops` on a host, while this lives.
pub struct Commands<'a>(&'a Host);

impl<'a> Commands<'a> {
    /// From the next one on.
    pub fn record(host: &'a Host) -> Self {
        let shell = format!("#!/bin/sh\nprintf '%s\\0' \"$2\" >>{TOLD}\nexec /bin/sh \"$@\"\n");
        let script = "printf %s \"$1\" >\"$2\" && chmod 755 \"$2\" && : >\"$3\" && chmod 666 \"$3\"";
        host.exec(&["sh", "-c", script, "sh", &shell, SHELL, TOLD]);
        let recorded = Self(host);
        recorded.log_in_with("/bin/sh", SHELL);
        recorded
    }

    /// All so far.
    pub fn seen(&self) -> Vec<String> {
        self.0.exec(&["cat", TOLD]).split_terminator('\0').map(ToOwned::to_owned).collect()
    }

    fn log_in_with(&self, old: &str, new: &str) {
        self.0.clean_up(&["sed", "-i", &format!("s#^\\(ops:.*:\\){old}$#\\1{new}#"), "/etc/passwd"]);
    }
}

impl Drop for Commands<'_> {
    fn drop(&mut self) {
        self.log_in_with(SHELL, "/bin/sh");
        self.0.clean_up(&["rm", "-f", SHELL, TOLD]);
    }
}
