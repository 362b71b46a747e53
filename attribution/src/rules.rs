//! What attribution is told to do.

use crate::bind::BindWindows;
use crate::{LayerRules, StackLayers};

/// What attribution is told to do.
#[derive(Clone, Debug)]
pub struct Rules {
    /// How spans get their layer.
    pub layers: LayerRules,
    /// How time gets the layer of a library that has no span of its own.
    pub stack_layers: StackLayers,
    /// How spans get their task.
    pub windows: BindWindows,
    /// How many steps the root view follows a chain of tasks that wait for each other. Longer ones are unknown.
    pub chain_limit: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            layers: LayerRules::default(),
            stack_layers: StackLayers::default(),
            windows: BindWindows::default(),
            chain_limit: 64,
        }
    }
}
