//! Floor 3: compose stacks on a host: which there are, and where their files lie.

pub mod locate;
pub mod read;

use crate::domain::stack::StackLabels;
use crate::engine::containers::Container;
use crate::engine::images::ImageLabels;
use std::collections::{BTreeMap, BTreeSet};

/// A stack as its containers tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack {
    /// The compose project's name.
    pub name: String,
    /// Its services that have containers.
    pub services: BTreeSet<String>,
    /// How many containers it has.
    pub containers: usize,
    /// How many of them run.
    pub running: usize,
    /// The lists of files its containers were made from. One is the rule; several mean that its
    /// containers were made from different files, and none that no label says (or may say) it.
    pub files: BTreeSet<Vec<String>>,
    /// The directories compose was started in.
    pub working_dirs: BTreeSet<String>,
}

impl Stack {
    /// `running`, `partial` or `stopped`.
    pub fn status(&self) -> &'static str {
        match self.running {
            0 => "stopped",
            running if running == self.containers => "running",
            _ => "partial",
        }
    }
}

/// The stacks that `containers` belong to, by name. Labels that a container inherited from its
/// image do not count, and neither do the file labels of a container whose image is unknown.
pub fn stacks(containers: &[Container], images: &ImageLabels) -> Vec<Stack> {
    let mut stacks: BTreeMap<String, Stack> = BTreeMap::new();
    for container in containers {
        let image = images.get(&container.image_id);
        let mut labels = StackLabels::read(&container.labels, image.unwrap_or(&BTreeMap::new()));
        let Some(name) = labels.project.take() else { continue };
        let stack = stacks.entry(name.clone()).or_insert_with(|| Stack {
            name,
            services: BTreeSet::new(),
            containers: 0,
            running: 0,
            files: BTreeSet::new(),
            working_dirs: BTreeSet::new(),
        });
        stack.containers += 1;
        stack.running += usize::from(container.state == "running");
        stack.services.extend(labels.service);
        if image.is_some() {
            let directory = labels.working_dir.as_deref().unwrap_or_default();
            let files: Vec<String> = labels.files.iter().map(|file| absolute(file, directory)).collect();
            if !files.is_empty() {
                stack.files.insert(files);
            }
            stack.working_dirs.extend(labels.working_dir);
        }
    }
    stacks.into_values().collect()
}

/// A container of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The service it is of; empty when no label says it.
    pub service: String,
    /// The container.
    pub container: Container,
}

/// The containers of the stack `name`, by service and name. The same labels count as for [`stacks`].
pub fn members(containers: Vec<Container>, images: &ImageLabels, name: &str) -> Vec<Member> {
    let none = BTreeMap::new();
    let member = |container: Container| {
        let labels = StackLabels::read(&container.labels, images.get(&container.image_id).unwrap_or(&none));
        let service = labels.service.unwrap_or_default();
        (labels.project? == name).then_some(Member { service, container })
    };
    let mut members: Vec<Member> = containers.into_iter().filter_map(member).collect();
    members.sort_by(|a, b| (&a.service, &a.container.name).cmp(&(&b.service, &b.container.name)));
    members
}

/// Old versions of compose wrote paths relative to the working directory.
fn absolute(file: &str, directory: &str) -> String {
    if file.starts_with('/') || directory.is_empty() {
        file.to_owned()
    } else {
        format!("{}/{file}", directory.trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::stack::{LABEL_FILES, LABEL_PROJECT, LABEL_SERVICE, LABEL_WORKING_DIR};

    fn container(image: &str, state: &str, labels: &[(&str, &str)]) -> Container {
        Container {
            image_id: image.into(),
            state: state.into(),
            labels: labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
            ..Container::default()
        }
    }

    #[test]
    fn s9_stacks_are_put_together_from_labels_that_no_image_forged() {
        let evil = [(LABEL_PROJECT, "evil"), (LABEL_FILES, "/etc/shadow")];
        let images = ImageLabels::from([
            ("plain".to_owned(), BTreeMap::new()),
            ("forged".to_owned(), evil.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()),
        ]);
        let web = |service, state| {
            container(
                "plain",
                state,
                &[
                    (LABEL_PROJECT, "web"),
                    (LABEL_SERVICE, service),
                    (LABEL_FILES, "a.yml,b.yml"),
                    (LABEL_WORKING_DIR, "/srv/web"),
                ],
            )
        };
        let unknown_image =
            container("gone", "running", &[(LABEL_PROJECT, "old"), (LABEL_FILES, "/x/y.yml")]);
        let containers = [
            web("db", "exited"),
            web("app", "running"),
            container("forged", "running", &evil),
            unknown_image,
        ];
        let found = stacks(&containers, &images);
        let of = |name: &str| members(containers.to_vec(), &images, name);
        let services: Vec<String> = of("web").into_iter().map(|member| member.service).collect();
        assert_eq!((services, of("evil"), of("old").len()), (vec!["app".into(), "db".into()], vec![], 1));
        assert_eq!(found.iter().map(|stack| stack.name.as_str()).collect::<Vec<_>>(), ["old", "web"]);
        assert!(found[0].files.is_empty());
        assert_eq!((found[1].running, found[1].containers, found[1].status()), (1, 2, "partial"));
        assert_eq!(
            found[1].files,
            BTreeSet::from([vec!["/srv/web/a.yml".to_owned(), "/srv/web/b.yml".to_owned()]])
        );
    }
}
