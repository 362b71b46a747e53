//! Attribution from the outside: timelines as text, edge cases by name, invariants over random programs.

#[cfg(test)]
mod binding;
#[cfg(test)]
mod clock_offset;
#[cfg(test)]
mod edge_cases;
#[cfg(test)]
mod figures;
#[cfg(test)]
mod hand_over;
#[cfg(test)]
mod inferred;
#[cfg(test)]
mod invariants;
#[cfg(test)]
mod invariants_named;
#[cfg(test)]
mod labels;
#[cfg(test)]
mod load;
#[cfg(test)]
mod matrix;
#[cfg(test)]
mod matrix_invariants;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod processes;
#[cfg(test)]
mod random;
#[cfg(test)]
mod remote;
#[cfg(test)]
mod remote_invariants;
#[cfg(test)]
mod root_edge_cases;
#[cfg(test)]
mod root_invariants;
#[cfg(test)]
mod root_load;
#[cfg(test)]
mod root_scenarios;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod simulator;
#[cfg(test)]
mod stack_layers;
#[cfg(test)]
mod text;
#[cfg(test)]
mod world;
