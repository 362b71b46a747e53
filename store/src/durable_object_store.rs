//! The local disk as an object store whose objects survive power loss once a put has returned.
//!
//! The Delta library writes its log through this. The `LocalFileSystem` of `object_store` never calls fsync, and a log
//! entry that is empty after power loss blocks its table; so puts go through [`Disk`], and only reads are delegated.

use std::fmt;
use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

use crate::disk::{Disk, IfExists};

const NAME: &str = "durable local disk";

/// See the module's description. Object paths are absolute file paths without the leading slash.
#[derive(Clone, Debug)]
pub(crate) struct DurableObjectStore {
    disk: Disk,
    local: Arc<LocalFileSystem>,
}

impl DurableObjectStore {
    pub(crate) fn new(disk: Disk) -> Self {
        Self {
            disk,
            local: Arc::new(LocalFileSystem::new()),
        }
    }

    async fn put_durably(&self, location: &Path, payload: PutPayload, if_exists: IfExists) -> Result<PutResult> {
        let to = self.local.path_to_filesystem(location)?;
        let disk = self.disk.clone();
        let put = move || -> io::Result<()> {
            let dir = to.parent().ok_or(io::ErrorKind::InvalidInput)?;
            let (temporary, mut file) = disk.create_temporary(dir)?;
            let published = payload
                .iter()
                .try_for_each(|bytes| file.write_all(bytes))
                .and_then(|()| disk.publish(&temporary, &file, &to, if_exists));
            if published.is_err() {
                // The error matters, not the leftover: it is swept when the store is next opened.
                let _ = std::fs::remove_file(&temporary);
            }
            published
        };
        tokio::task::spawn_blocking(put)
            .await?
            .map_err(|source| match source.kind() {
                io::ErrorKind::AlreadyExists => Error::AlreadyExists {
                    path: location.to_string(),
                    source: source.into(),
                },
                _ => Error::Generic {
                    store: NAME,
                    source: source.into(),
                },
            })?;
        Ok(PutResult {
            e_tag: None,
            version: None,
        })
    }
}

impl fmt::Display for DurableObjectStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)
    }
}

#[async_trait]
impl ObjectStore for DurableObjectStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let if_exists = match opts.mode {
            PutMode::Overwrite => IfExists::Replace,
            PutMode::Create => IfExists::Fail,
            PutMode::Update(_) => return Err(not_implemented("conditional update")),
        };
        self.put_durably(location, payload, if_exists).await
    }

    async fn put_multipart_opts(&self, location: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Ok(Box::new(BufferedUpload {
            store: self.clone(),
            location: location.clone(),
            parts: Vec::new(),
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.local.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.local.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.local.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.local.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.local.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.local.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(not_implemented("copy"))
    }
}

/// Keeps the parts in memory until the upload is complete. Only checkpoints of the log above 10 MiB come this way.
#[derive(Debug)]
struct BufferedUpload {
    store: DurableObjectStore,
    location: Path,
    parts: Vec<PutPayload>,
}

#[async_trait]
impl MultipartUpload for BufferedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.parts.push(data);
        Box::pin(std::future::ready(Ok(())))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let payload = std::mem::take(&mut self.parts)
            .into_iter()
            .flatten()
            .collect::<PutPayload>();
        self.store.put_durably(&self.location, payload, IfExists::Replace).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.parts.clear();
        Ok(())
    }
}

fn not_implemented(operation: &str) -> Error {
    Error::NotImplemented {
        operation: operation.to_owned(),
        implementer: NAME.to_owned(),
    }
}
