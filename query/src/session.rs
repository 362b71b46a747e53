//! The one function that builds a DataFusion session.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::config::Dialect;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::logical_expr::registry::FunctionRegistry;
use datafusion::prelude::{SessionConfig, SessionContext};
use spandrel_model::Table;
use spandrel_store::Snapshot;

use crate::QueryError;
use crate::functions::{hex_function, unhex_function};
use crate::id_literals::IdLiterals;
use crate::sketch_functions::sketch_functions;
use crate::sketch_merge::sketch_merge_function;
use crate::snapshot_table::SnapshotTable;

const MIB: usize = 1024 * 1024;
/// Operators that an out-of-memory message names.
const REPORTED_CONSUMERS: NonZeroUsize = NonZeroUsize::new(3).expect("3 is not 0");
/// Footers of files that a session keeps.
const METADATA_CACHE_BYTES: usize = 50 * MIB;
/// Lists of trace ids up to this length skip files and row groups.
const PRUNED_IN_LIST_LEN: usize = 1000;

/// What a session may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOptions {
    /// Memory of sorts, joins and aggregations of all queries of the session together; above it they spill.
    pub memory_limit_bytes: usize,
    /// Where they spill to; `None` is the temporary directory of the system.
    pub spill_dir: Option<PathBuf>,
    /// Spilled bytes above which a query fails.
    pub spill_limit_bytes: u64,
    /// Threads a query uses; `None` is one per core.
    pub threads: Option<NonZeroUsize>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            memory_limit_bytes: 512 * MIB,
            spill_dir: None,
            spill_limit_bytes: 8 * 1024 * MIB as u64,
            threads: None,
        }
    }
}

/// A session with every table of [`Table::ALL`] as the snapshot has it, the functions `hex` and `unhex`, and those of
/// sketches.
///
/// Statements go through [`crate::run`], which refuses those that are not queries.
pub fn session(snapshot: &Snapshot, options: &SessionOptions) -> Result<SessionContext, QueryError> {
    let runtime = runtime(options).map_err(QueryError::of_session)?;
    let mut ctx = SessionContext::new_with_config_rt(config(options), Arc::new(runtime));
    ctx.register_udf(unhex_function());
    ctx.register_udf(hex_function());
    sketch_functions()
        .into_iter()
        .for_each(|function| ctx.register_udf(function));
    ctx.register_udaf(sketch_merge_function());
    ctx.register_function_rewrite(Arc::new(IdLiterals))
        .map_err(QueryError::of_session)?;
    for table in Table::ALL {
        let provider = SnapshotTable::new(table, snapshot.table(table).clone());
        ctx.register_table(table.name(), Arc::new(provider))
            .map_err(QueryError::of_session)?;
    }
    Ok(ctx)
}

fn config(options: &SessionOptions) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema("spandrel", "public")
        .with_information_schema(true);
    if let Some(threads) = options.threads {
        config = config.with_target_partitions(threads.get());
    }
    // The generic dialect allows a comma after the last column and so takes `view`, a column of ours, for a keyword.
    config.options_mut().sql_parser.dialect = Dialect::PostgreSQL;
    let parquet = &mut config.options_mut().execution.parquet;
    // Spans are wide, and most queries filter on few columns: decode the others for matching rows only.
    parquet.pushdown_filters = true;
    parquet.reorder_filters = true;
    parquet.enable_page_index = true;
    parquet.bloom_filter_on_read = true;
    parquet.max_in_list_size = PRUNED_IN_LIST_LEN;
    config
}

fn runtime(options: &SessionOptions) -> datafusion::error::Result<RuntimeEnv> {
    let spill = match &options.spill_dir {
        Some(dir) => DiskManagerMode::Directories(vec![dir.clone()]),
        None => DiskManagerMode::OsTmpDirectory,
    };
    let pool = FairSpillPool::new(options.memory_limit_bytes);
    RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(TrackConsumersPool::new(pool, REPORTED_CONSUMERS)))
        .with_disk_manager_builder(
            DiskManagerBuilder::default()
                .with_mode(spill)
                .with_max_temp_directory_size(options.spill_limit_bytes),
        )
        .with_metadata_cache_limit(METADATA_CACHE_BYTES)
        // Snapshots list files; a listing of a directory would go stale.
        .with_object_list_cache_limit(0)
        .build()
}
