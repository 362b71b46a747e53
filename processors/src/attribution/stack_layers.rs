//! Stack layer rules as a user writes them in the connector's section.

use serde::Deserialize;
use spandrel_attribution::{StackLayerRule, StackLayers};
use spandrel_config::{Problems, Section};
use spandrel_model::Layer;

/// One rule as it stands in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStackLayer {
    layer: String,
    function: Vec<String>,
}

/// Checks the list `stack_layers` of `section`; every problem goes to `problems`.
pub(super) fn check(raw: Vec<RawStackLayer>, section: &Section, problems: &mut Problems) -> Option<StackLayers> {
    let rules: Vec<StackLayerRule> = raw
        .into_iter()
        .map(|raw| StackLayerRule {
            layer: Layer::new(&raw.layer),
            functions: raw.function,
        })
        .collect();
    let invalid = match StackLayers::with_user_rules(&rules) {
        Ok(layers) => return Some(layers),
        Err(invalid) => invalid,
    };
    for invalid in invalid {
        let fault = &invalid.fault;
        let path = ["stack_layers".to_owned(), invalid.index.to_string()]
            .into_iter()
            .chain(fault.field());
        let place = section.at(&path.collect::<Vec<String>>().join("::"));
        problems.push(place, fault.to_string()).help(fault.remedy());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(yaml: &str) -> (Option<StackLayers>, String) {
        let section = Section::from_yaml("attribution", yaml).unwrap();
        let mut problems = Problems::new();
        let config = super::super::AttributionConfig::check(&section, &mut problems);
        (config.map(|config| config.rules.stack_layers), problems.to_string())
    }

    #[test]
    fn rules_of_the_file_come_before_the_built_in_ones() {
        let (layers, problems) = checked(
            "stack_layers:\n  - layer: search\n    function: [\"example.com/shop/search.(*Index)\", main.find]\n",
        );
        assert_eq!(problems, "");
        let layers = layers.unwrap();
        let layer = |stack: &[&str]| layers.layer_of(stack.iter().copied()).map(Layer::as_str);
        assert_eq!(
            layer(&["net/http.(*persistConn).roundTrip", "main.find"]),
            Some("search")
        );
        assert_eq!(
            layer(&["net/http.(*persistConn).roundTrip", "main.main"]),
            Some("http.client")
        );
    }

    #[test]
    fn every_problem_names_line_field_and_remedy() {
        let yaml = "\
stack_layers:
  - layer: ''
    function: [net/http]
  - layer: x
    function: []
  - layer: x
    function: ['main.(Cache).Get', 'net/http.(*Client)']
";
        let (layers, problems) = checked(yaml);
        assert!(layers.is_none());
        let expected = [
            "attribution:2:12: attribution::stack_layers::0::layer: expected a layer of 1 to 64 bytes, found 0 (name the layer",
            "attribution:5:5: attribution::stack_layers::1::function: expected 1 to 256 functions, found 0 (give the",
            "attribution:7:16: attribution::stack_layers::2::function::0: `main.(Cache).Get` fits no function of Go: a \
             parenthesis stands only around the type of a pointer, as in `(*T)` (write it as in a stack trace of Go,",
            "attribution:7:36: attribution::stack_layers::2::function::1: `net/http.(*Client)` never decides: `net/http` \
             of rule 0 comes first (put the narrower pattern first, or leave it out)",
        ];
        assert_eq!(problems.lines().count(), expected.len(), "{problems}");
        for (line, expected) in problems.lines().zip(expected) {
            assert!(line.starts_with(expected), "{line}\nis not\n{expected}");
        }
        let (layers, problems) = checked("stack_layers:\n  - layer: x\n    functions: [main.a]\n");
        assert!(layers.is_none());
        assert!(
            problems.contains("unknown field `functions` (did you mean `function`?"),
            "{problems}"
        );
    }
}
