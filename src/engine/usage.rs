//! What an engine's disk is used for.
//!
//! Before API 1.52 the engine tells every image, container, volume and piece of build cache, and its
//! reader sums them up; since then it tells the sums too, under other names.

use super::{Engine, EngineError};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A kind of thing that takes room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// An image.
    Image,
    /// What a container has written.
    Container,
    /// A volume.
    Volume,
    /// A piece of build cache.
    BuildCache,
}

/// What all things of a kind take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    /// How many there are.
    pub count: usize,
    /// Bytes.
    pub size: u64,
    /// Bytes of what is not in use.
    pub reclaimable: u64,
}

/// A thing that takes room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What it is.
    pub kind: Kind,
    /// The full identifier; a volume's is its name.
    pub id: String,
    /// What people call it; empty when it has no name.
    pub name: String,
    /// Bytes; of an image, layers shared with others included.
    pub size: u64,
    /// Bytes that come free when it is removed; none while it is in use.
    pub reclaimable: u64,
}

/// What an engine's disk is used for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// Images.
    pub images: Share,
    /// Containers.
    pub containers: Share,
    /// Volumes.
    pub volumes: Share,
    /// Build cache.
    pub build_cache: Share,
    /// Each of them.
    pub items: Vec<Item>,
}

impl Engine {
    /// What the disk is used for: one request, and a second to Podman, which leaves out the images' names here.
    /// The engine walks through all volumes for it, which may take many seconds.
    pub async fn disk_usage(&self) -> Result<DiskUsage, EngineError> {
        // Since API 1.52 each thing is told only when asked for; older engines ignore the word.
        let told: Told = self.pool.get(self.api, "/system/df?verbose=1").await?;
        let mut usage = told.sum();
        if self.info.product == "Podman" {
            let tags: BTreeMap<_, _> = self
                .images()
                .await?
                .into_iter()
                .map(|image| (bare(&image.id).to_owned(), image.tags))
                .collect();
            for item in usage.items.iter_mut().filter(|item| item.kind == Kind::Image) {
                let tags = tags.get(bare(&item.id));
                item.name = tags.and_then(|tags| tags.first()).cloned().unwrap_or_default();
            }
        }
        Ok(usage)
    }

    /// The sizes of the volumes by name, of those whose driver tells it: one request, as slow as
    /// [`Engine::disk_usage`].
    pub async fn volume_sizes(&self) -> Result<BTreeMap<String, u64>, EngineError> {
        // Before API 1.42 the engine tells everything all the same.
        let told: Told = self.pool.get(self.api, "/system/df?type=volume&verbose=1").await?;
        let (_, volumes) = told.volume_usage.parts(told.volumes);
        Ok(volumes
            .into_iter()
            .filter_map(|volume| Some((volume.name, known(volume.usage_data?.size)?)))
            .collect())
    }
}

fn bare(id: &str) -> &str {
    id.trim_start_matches("sha256:")
}

/// The engine writes -1 for what it does not know.
fn known(bytes: i64) -> Option<u64> {
    bytes.try_into().ok()
}

/// The answer: before API 1.52 the upper half, since then the lower.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Told {
    layers_size: i64,
    images: Option<Vec<Image>>,
    containers: Option<Vec<Container>>,
    volumes: Option<Vec<Volume>>,
    build_cache: Option<Vec<Cache>>,
    image_usage: Summed<Image>,
    container_usage: Summed<Container>,
    volume_usage: Summed<Volume>,
    build_cache_usage: Summed<Cache>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Summed<T> {
    total_count: Option<usize>,
    total_size: Option<i64>,
    reclaimable: Option<i64>,
    items: Option<Vec<T>>,
}

impl<T> Default for Summed<T> {
    fn default() -> Self {
        Self { total_count: None, total_size: None, reclaimable: None, items: None }
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Image {
    id: String,
    repo_tags: Option<Vec<String>>,
    size: i64,
    shared_size: i64,
    containers: i64,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Container {
    id: String,
    names: Option<Vec<String>>,
    state: String,
    size_rw: i64,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Volume {
    name: String,
    usage_data: Option<VolumeUsage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct VolumeUsage {
    size: i64,
    ref_count: i64,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Cache {
    #[serde(rename = "ID")]
    id: String,
    description: String,
    in_use: bool,
    shared: bool,
    size: i64,
}

impl Image {
    /// Bytes that no other image has too, where the engine knows.
    fn own(&self) -> Option<u64> {
        Some(known(self.size)?.saturating_sub(known(self.shared_size)?))
    }

    fn item(self) -> Item {
        let reclaimable = if self.containers == 0 { self.own().unwrap_or_default() } else { 0 };
        let mut tags = self.repo_tags.unwrap_or_default().into_iter().filter(|tag| tag != "<none>:<none>");
        Item {
            kind: Kind::Image,
            id: self.id,
            name: tags.next().unwrap_or_default(),
            size: known(self.size).unwrap_or_default(),
            reclaimable,
        }
    }
}

impl Container {
    fn item(self) -> Item {
        let size = known(self.size_rw).unwrap_or_default();
        let is_active = matches!(self.state.as_str(), "running" | "paused" | "restarting");
        let names = self.names.unwrap_or_default();
        // A container has a second name for every legacy link; its own has no slash inside.
        let own = names.iter().map(|name| name.trim_start_matches('/')).find(|name| !name.contains('/'));
        let name = own.unwrap_or_default().to_owned();
        Item { kind: Kind::Container, id: self.id, name, size, reclaimable: if is_active { 0 } else { size } }
    }
}

impl Volume {
    fn item(self) -> Item {
        let usage = self.usage_data.unwrap_or(VolumeUsage { size: -1, ref_count: -1 });
        let size = known(usage.size).unwrap_or_default();
        let reclaimable = if usage.ref_count == 0 { size } else { 0 };
        Item { kind: Kind::Volume, id: self.name.clone(), name: self.name, size, reclaimable }
    }
}

impl Cache {
    /// A shared piece is counted where it is not shared.
    fn item(self) -> Item {
        let size = if self.shared { 0 } else { known(self.size).unwrap_or_default() };
        let reclaimable = if self.in_use { 0 } else { size };
        Item { kind: Kind::BuildCache, id: self.id, name: self.description, size, reclaimable }
    }
}

impl<T> Summed<T> {
    /// The engine's own sums, where it told any, and the things of which `before` are told by older ones.
    fn parts(self, before: Option<Vec<T>>) -> (Option<Share>, Vec<T>) {
        let things = before.or(self.items).unwrap_or_default();
        let told = self.total_size.map(|size| Share {
            count: self.total_count.unwrap_or(things.len()),
            size: known(size).unwrap_or_default(),
            reclaimable: self.reclaimable.and_then(known).unwrap_or_default(),
        });
        (told, things)
    }
}

impl Told {
    fn sum(self) -> DiskUsage {
        let (of_images, images) = self.image_usage.parts(self.images);
        let (of_containers, containers) = self.container_usage.parts(self.containers);
        let (of_volumes, volumes) = self.volume_usage.parts(self.volumes);
        let (of_cache, cache) = self.build_cache_usage.parts(self.build_cache);
        let of_images = of_images.unwrap_or_else(|| share_of_images(self.layers_size, &images));
        let images: Vec<Item> = images.into_iter().map(Image::item).collect();
        let containers: Vec<Item> = containers.into_iter().map(Container::item).collect();
        let volumes: Vec<Item> = volumes.into_iter().map(Volume::item).collect();
        let cache: Vec<Item> = cache.into_iter().map(Cache::item).collect();
        DiskUsage {
            images: of_images,
            containers: of_containers.unwrap_or_else(|| share(&containers)),
            volumes: of_volumes.unwrap_or_else(|| share(&volumes)),
            build_cache: of_cache.unwrap_or_else(|| share(&cache)),
            items: [images, containers, volumes, cache].concat(),
        }
    }
}

/// As `docker system df` counts: a layer that several images share is counted as reclaimable.
fn share_of_images(layers: i64, images: &[Image]) -> Share {
    let own = |images: &mut dyn Iterator<Item = &Image>| images.filter_map(Image::own).sum();
    let in_use: u64 = own(&mut images.iter().filter(|image| image.containers != 0));
    // Podman does not tell the size of all layers.
    let size = known(layers).filter(|size| *size > 0).unwrap_or_else(|| own(&mut images.iter()));
    Share { count: images.len(), size, reclaimable: size.saturating_sub(in_use) }
}

fn share(items: &[Item]) -> Share {
    Share {
        count: items.len(),
        size: items.iter().map(|item| item.size).sum(),
        reclaimable: items.iter().map(|item| item.reclaimable).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn usage(told: Value) -> DiskUsage {
        serde_json::from_value::<Told>(told).unwrap().sum()
    }

    fn things() -> [Value; 4] {
        [
            json!([
                {"Id": "sha256:a", "RepoTags": ["web:1"], "Size": 100, "SharedSize": 30, "Containers": 2},
                {"Id": "sha256:b", "RepoTags": null, "Size": 50, "SharedSize": 30, "Containers": 0},
                {"Id": "sha256:c", "RepoTags": ["<none>:<none>"], "Size": 7, "SharedSize": -1, "Containers": 0},
            ]),
            json!([
                {"Id": "1", "Names": ["/web/db", "/db"], "State": "running", "SizeRw": 5},
                {"Id": "2", "Names": ["/job"], "State": "exited", "SizeRw": 3},
                {"Id": "3", "Names": ["/new"], "State": "created"},
            ]),
            json!([
                {"Name": "data", "UsageData": {"Size": 40, "RefCount": 1}},
                {"Name": "old", "UsageData": {"Size": 2, "RefCount": 0}},
                {"Name": "far", "UsageData": {"Size": -1, "RefCount": 0}},
                {"Name": "mute", "UsageData": null},
            ]),
            json!([
                {"ID": "x", "Description": "RUN make", "InUse": true, "Shared": false, "Size": 8},
                {"ID": "y", "InUse": false, "Shared": false, "Size": 9},
                {"ID": "z", "InUse": false, "Shared": true, "Size": 11},
            ]),
        ]
    }

    const fn share_of(count: usize, size: u64, reclaimable: u64) -> Share {
        Share { count, size, reclaimable }
    }

    #[test]
    fn what_is_in_use_is_not_reclaimable() {
        let [images, containers, volumes, cache] = things();
        let told = json!({"LayersSize": 127, "Images": images, "Containers": containers, "Volumes": volumes, "BuildCache": cache});
        let usage = usage(told);
        assert_eq!(usage.images, share_of(3, 127, 57), "all layers but the 70 of web:1 alone");
        assert_eq!(usage.containers, share_of(3, 8, 3));
        assert_eq!(usage.volumes, share_of(4, 42, 2));
        assert_eq!(usage.build_cache, share_of(3, 17, 9));
        let rows: Vec<(&str, u64, u64)> =
            usage.items.iter().map(|item| (&*item.name, item.size, item.reclaimable)).collect();
        let images = [("web:1", 100, 0), ("", 50, 20), ("", 7, 0)];
        let containers = [("db", 5, 0), ("job", 3, 3), ("new", 0, 0)];
        let volumes = [("data", 40, 0), ("old", 2, 2), ("far", 0, 0), ("mute", 0, 0)];
        let cache = [("RUN make", 8, 0), ("", 9, 9), ("", 0, 0)];
        assert_eq!(rows, [&images[..], &containers[..], &volumes[..], &cache[..]].concat());
    }

    #[test]
    fn without_the_size_of_all_layers_images_are_added_up() {
        let [images, ..] = things();
        assert_eq!(usage(json!({"LayersSize": 0, "Images": images})).images, share_of(3, 90, 20));
        assert_eq!(usage(json!({"Images": null, "BuildCache": []})), DiskUsage::default());
    }

    #[test]
    fn the_sums_of_newer_engines_are_taken_as_they_are() {
        let [images, containers, ..] = things();
        let usage = usage(json!({
            "ImageUsage": {"TotalCount": 3, "ActiveCount": 1, "TotalSize": 130, "Reclaimable": 60, "Items": images},
            "ContainerUsage": {"TotalCount": 2, "TotalSize": 8, "Items": containers},
            "VolumeUsage": {},
        }));
        assert_eq!(usage.images, share_of(3, 130, 60));
        assert_eq!(usage.containers, share_of(2, 8, 0));
        assert_eq!((usage.volumes, usage.items.len()), (Share::default(), 6));
    }
}
