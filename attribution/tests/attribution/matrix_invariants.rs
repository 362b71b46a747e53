//! Invariants of the matrix over random programs, named as in the definition.

use std::collections::BTreeMap;
use std::num::NonZeroI64;
use std::sync::Arc;

use proptest::prelude::*;
use spandrel_attribution::*;
use spandrel_model::*;

use crate::invariants::worlds;
use crate::random::Random;
use crate::world::World;

/// All spans with one of two names, so that operations have many requests.
fn two_operations(mut world: World) -> World {
    for span in &mut world.spans {
        span.name = if span.name.len() % 2 == 0 { "even" } else { "odd" }.into();
    }
    world
}

fn matrix<'a>(spans: impl IntoIterator<Item = &'a SpanAttribution>) -> Matrix {
    let mut matrix = Matrix::new(NonZeroI64::new(1_000_000_000).expect("it is not zero"));
    spans.into_iter().for_each(|span| matrix.add(span));
    matrix
}

/// The cells of each group and view.
fn views(cells: &[MatrixRow]) -> BTreeMap<(&RequestGroup, View), Vec<&MatrixRow>> {
    let mut views: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in cells {
        views.entry((&row.group, row.view)).or_default().push(row);
    }
    views
}

/// Another name for each layer.
fn reversed(layer: &Layer) -> Layer {
    Layer::new(&layer.as_str().chars().rev().collect::<String>())
}

/// Two layers in the place of all.
fn merged(layer: &Layer) -> Layer {
    Layer::new(["even", "odd"][layer.as_str().len() % 2])
}

fn relabel(spans: &mut [SpanAttribution], label: fn(&Layer) -> Layer) {
    for cell in spans.iter_mut().flat_map(|span| &mut span.cells) {
        cell.layer = label(&cell.layer);
        cell.culprit = cell
            .culprit
            .as_deref()
            .map(|culprit| Arc::new(relabeled(culprit, label)));
    }
}

fn relabeled(culprit: &Culprit, label: fn(&Layer) -> Layer) -> Culprit {
    Culprit {
        layer: label(&culprit.layer),
        ..culprit.clone()
    }
}

fn cell_of(row: &MatrixRow) -> (RequestGroup, View, Layer, State) {
    (row.group.clone(), row.view, row.layer.clone(), row.state)
}

/// What adds up over cells: nanoseconds, by evidence too.
fn sums(
    rows: &[MatrixRow],
    label: fn(&Layer) -> Layer,
) -> BTreeMap<(RequestGroup, View, Layer, State), (i64, Coverage)> {
    let mut sums: BTreeMap<_, (i64, Coverage)> = BTreeMap::new();
    for row in rows {
        let (group, view, layer, state) = cell_of(row);
        let (sum_ns, coverage) = sums.entry((group, view, label(&layer), state)).or_default();
        *sum_ns += row.times.sum_ns;
        coverage.merge(row.coverage);
    }
    sums
}

/// How long each group waited, in which layer and state, for whom.
fn waits(
    rows: &[InterferenceRow],
    label: fn(&Layer) -> Layer,
) -> BTreeMap<(RequestGroup, Layer, Arc<str>, Culprit), i64> {
    let mut waits = BTreeMap::new();
    for row in rows {
        let key = (
            row.group.clone(),
            label(&row.layer),
            row.state.clone(),
            relabeled(&row.culprit, label),
        );
        *waits.entry(key).or_default() += row.ns;
    }
    waits
}

fn sum(rows: &[&MatrixRow], of: impl Fn(&MatrixRow) -> i64) -> i64 {
    rows.iter().map(|row| of(row)).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn i17_the_cells_of_a_view_sum_to_the_durations_of_the_requests(world in worlds(40)) {
        let result = two_operations(world).attribute(&[]);
        let tables = matrix(&result.spans).tables();
        let requests = result.spans.iter().filter(|span| span.is_request);
        let total_ns: i64 = requests.clone().map(|span| span.interval.duration_ns()).sum();
        prop_assert_eq!(tables.operations.iter().map(|row| row.durations.sum_ns).sum::<i64>(), total_ns);
        prop_assert_eq!(
            tables.operations.iter().map(|row| row.durations.n).sum::<i64>(),
            i64::try_from(requests.count()).unwrap()
        );
    }

    #[test]
    fn i17_a_coarser_map_of_states_has_the_sums_of_the_finer_cells(world in worlds(40)) {
        let world = two_operations(world);
        let result = world.attribute(&[world.record_all()]);
        let coarse = |state: State| match state {
            State::Running | State::Runnable | State::Unknown | State::BlockedOnOther => state,
            _ => State::Other,
        };
        let key = |row: &MatrixRow, state: State| (row.group.clone(), row.view, row.layer.clone(), state);
        let mut expected: BTreeMap<_, i64> = BTreeMap::new();
        for row in matrix(&result.spans).tables().cells {
            *expected.entry(key(&row, coarse(row.state))).or_default() += row.times.sum_ns;
        }
        let mut relabeled = result.spans;
        relabeled.iter_mut().flat_map(|span| &mut span.cells).for_each(|cell| cell.state = coarse(cell.state));
        let found = matrix(&relabeled).tables().cells;
        let found: BTreeMap<_, i64> = found.iter().map(|row| (key(row, row.state), row.times.sum_ns)).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn i17_layers_relabeled_before_aggregation_give_the_matrix_relabeled_after_it(world in worlds(40)) {
        let world = two_operations(world);
        let mut spans = world.attribute(&[world.record_all()]).spans;
        let tables = matrix(&spans).tables();
        relabel(&mut spans, merged);
        let merged_before = matrix(&spans).tables();
        prop_assert_eq!(&merged_before.operations, &tables.operations);
        let found = sums(&merged_before.cells, Layer::clone);
        prop_assert_eq!(found.len(), merged_before.cells.len());
        prop_assert_eq!(found, sums(&tables.cells, merged));
        prop_assert_eq!(waits(&merged_before.interference, Layer::clone), waits(&tables.interference, merged));
    }

    /// Tails are rounded together, and of cells with the same remainder the first one gets the nanosecond.
    #[test]
    fn i17_layers_of_other_names_change_no_number(world in worlds(40)) {
        let world = two_operations(world);
        let mut spans = world.attribute(&[world.record_all()]).spans;
        let mut expected = matrix(&spans).tables().cells;
        expected.iter_mut().for_each(|row| row.layer = reversed(&row.layer));
        expected.sort_by_key(cell_of);
        relabel(&mut spans, reversed);
        let mut found = matrix(&spans).tables().cells;
        found.sort_by_key(cell_of);
        prop_assert_eq!(found.len(), expected.len());
        for (found, mut expected) in found.into_iter().zip(expected) {
            let tails = found.tail_ns.iter().zip(expected.tail_ns);
            prop_assert!(tails.into_iter().all(|(found, expected)| found.abs_diff(expected) <= 1));
            expected.tail_ns = found.tail_ns;
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn i18_tails_and_shares_of_the_variance_add_up(world in worlds(60)) {
        let world = two_operations(world);
        let tables = matrix(&world.attribute(&[world.record_all()]).spans).tables();
        let views = views(&tables.cells);
        for operation in &tables.operations {
            for view in [View::SelfView, View::Root] {
                let Some(cells) = views.get(&(&operation.group, view)) else {
                    prop_assert_eq!(operation.durations.sum_ns, 0);
                    continue;
                };
                prop_assert_eq!(sum(cells, |row| row.times.sum_ns), operation.durations.sum_ns);
                for at in 0..3 {
                    prop_assert_eq!(sum(cells, |row| row.tail_ns[at]), operation.tails[at].mean_ns);
                }
                let shares: Vec<f64> = cells.iter().filter_map(|row| row.cov_share).collect();
                prop_assert!(shares.is_empty() || shares.len() == cells.len());
                let size: f64 = shares.iter().map(|share| share.abs()).sum();
                prop_assert!(shares.is_empty() || (shares.iter().sum::<f64>() - 1.0).abs() <= 1e-9 * size);
            }
        }
    }

    #[test]
    fn cells_are_what_a_plain_computation_says(world in worlds(60)) {
        let world = two_operations(world);
        let result = world.attribute(&[world.record_all()]);
        let matrix = matrix(&result.spans);
        for row in matrix.tables().cells {
            let is_here = |cell: &&Cell| (cell.view, &cell.layer, cell.state) == (row.view, &row.layer, row.state);
            let requests = result.spans.iter().filter(|span| span.is_request && matrix.group_of(span) == row.group);
            let pairs: Vec<(i64, i64)> = requests
                .map(|span| (span.cells.iter().filter(is_here).map(|cell| cell.ns).sum(), span.interval.duration_ns()))
                .collect();
            let mut times: Vec<i64> = pairs.iter().map(|(ns, _)| *ns).collect();
            times.sort_unstable();
            for (quantile, percent) in row.times.quantiles.into_iter().zip([50, 95, 99]) {
                prop_assert_eq!(quantile.ns, times[(times.len() * percent).div_ceil(100) - 1]);
                prop_assert!(quantile.confidence_ns.is_none_or(|(low, high)| low <= quantile.ns && quantile.ns <= high));
                let sketched = row.times.sketch.quantile_ns(percent as f64 / 100.0).unwrap();
                prop_assert!(sketched.abs_diff(quantile.ns) as f64 <= 0.0055 * quantile.ns as f64 + 0.5);
            }
            let n = pairs.len() as f64;
            let means = pairs.iter().fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0 as f64 / n, sum.1 + pair.1 as f64 / n));
            let products = pairs.iter().map(|(ns, duration)| (*ns as f64 - means.0) * (*duration as f64 - means.1));
            let squares = pairs.iter().map(|(_, duration)| (*duration as f64 - means.1).powi(2));
            if let Some(share) = row.cov_share {
                prop_assert!((share - products.sum::<f64>() / squares.sum::<f64>()).abs() < 1e-6, "{share}");
            }
            let known = row.coverage;
            prop_assert_eq!(known.exact_ns + known.sampled_ns + known.inferred_ns + known.unknown_ns, row.times.sum_ns);
            prop_assert_eq!(known.exact_ns == 0, row.state == State::Unknown);
        }
    }

    #[test]
    fn the_order_of_requests_and_what_they_replace_leave_no_trace(world in worlds(40), seed in any::<u64>()) {
        let world = two_operations(world);
        let spans = world.attribute(&[world.record_all()]).spans;
        let unrecorded = world.attribute(&[]).spans;
        let mut random = Random(seed);
        let mut shuffled: Vec<&SpanAttribution> = spans.iter().collect();
        shuffled.sort_by_cached_key(|_| random.next());
        let earlier = unrecorded.iter().filter(|_| random.chance(50));
        prop_assert_eq!(matrix(earlier.chain(shuffled)).tables(), matrix(&spans).tables());
    }

    #[test]
    fn i20_sketches_of_windows_merge_into_that_of_all_time(world in worlds(40), window_ns in 1_000..1_000_000_i64) {
        let world = two_operations(world);
        let spans = world.attribute(&[world.record_all()]).spans;
        let mut windows = Matrix::new(NonZeroI64::new(window_ns).unwrap());
        let mut all = Matrix::new(NonZeroI64::MAX);
        for span in &spans {
            windows.add(span);
            all.add(span);
        }
        for whole in all.tables().operations {
            let mut merged = Sketch::default();
            for part in windows.tables().operations {
                if part.group.operation == whole.group.operation {
                    merged.merge(&part.durations.sketch);
                }
            }
            prop_assert_eq!(merged, whole.durations.sketch);
        }
    }
}
