//! Giving back what an operation made on a host.

use super::{Engine, EngineError};
use crate::domain::operation::HostResource;
use crate::transport::files::remove_file;
use crate::transport::mark::ProcessMark;
use bollard::query_parameters::RemoveContainerOptionsBuilder;

impl Engine {
    /// Removes or ends `resource` on the host; one that is not there (any more) is no error.
    pub async fn release(&self, resource: &HostResource) -> Result<(), EngineError> {
        match resource {
            HostResource::File(path) => Ok(remove_file(self.link.as_ref(), path).await?),
            HostResource::Processes(mark) => Ok(ProcessMark::new(mark).end(self.link.as_ref()).await?),
            HostResource::Container(name) => {
                let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
                match self.docker.remove_container(name, Some(options)).await.map_err(EngineError::from) {
                    Err(EngineError::NotFound(_)) => Ok(()),
                    outcome => outcome,
                }
            }
        }
    }
}
