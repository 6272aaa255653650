//! Points at which a test may stop the program dead. In release builds there are none.

#[cfg(debug_assertions)]
use std::sync::Arc;

/// The variable that names a point at which the process is to die, in debug builds.
#[cfg(debug_assertions)]
const VARIABLE: &str = "DOCKMASTER_FAILPOINT";

/// Decides at a point whether the program goes on.
#[cfg(debug_assertions)]
type Hook = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// The points of one service.
#[derive(Clone, Default)]
pub struct Failpoints {
    #[cfg(debug_assertions)]
    hook: Option<Hook>,
}

#[cfg(not(debug_assertions))]
const _: () = assert!(size_of::<Failpoints>() == 0, "a release build has no failpoints");

#[cfg(debug_assertions)]
impl Failpoints {
    /// As the environment says: the process dies, as if killed, the first time it comes to the named point.
    pub fn of_environment() -> Self {
        let Ok(wanted) = std::env::var(VARIABLE) else { return Self::default() };
        Self::new(move |point| {
            if point == wanted {
                // No destructor runs: nothing is tidied up.
                std::process::abort();
            }
            true
        })
    }

    /// Points at which `goes_on` decides; one that says no is never passed.
    pub fn new(goes_on: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self { hook: Some(Arc::new(goes_on)) }
    }

    /// Passes a point.
    pub async fn pass(&self, point: impl FnOnce() -> String + Send) {
        if let Some(goes_on) = &self.hook
            && !goes_on(&point())
        {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(not(debug_assertions))]
impl Failpoints {
    /// None.
    pub fn of_environment() -> Self {
        Self::default()
    }

    /// Nothing.
    #[expect(clippy::unused_async, reason = "as in debug builds")]
    pub async fn pass(&self, _: impl FnOnce() -> String + Send) {}
}
