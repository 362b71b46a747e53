//! Rules that a user adds.

use spandrel_model::{FunctionPattern, Layer};

use crate::layers::LAYER_NAME_BYTES_MAX;

/// Most rules of a user. Each is tried for each distinct function.
const RULES_MAX: usize = 1_000;
/// Most patterns in a rule.
const FUNCTIONS_MAX: usize = 256;

/// A rule that a user adds: tasks that stand still in one of `functions`, or in what those call, are in `layer`.
///
/// ```
/// use spandrel_attribution::{StackLayerRule, StackLayers};
/// use spandrel_model::Layer;
///
/// let layers = StackLayers::with_user_rules(&[StackLayerRule {
///     layer: Layer::new("search"),
///     functions: vec!["example.com/shop/search.(*Index)".to_owned()],
/// }])?;
/// let stack = ["net/http.(*persistConn).roundTrip", "example.com/shop/search.(*Index).Find", "main.handle"];
/// assert_eq!(layers.layer_of(stack).map(Layer::as_str), Some("search"));
/// assert_eq!(layers.layer_of([stack[0], stack[2]]).map(Layer::as_str), Some("http.client"));
/// # Ok::<(), Vec<spandrel_attribution::InvalidStackLayerRule>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackLayerRule {
    /// The layer.
    pub layer: Layer,
    /// [Patterns](FunctionPattern) over names of functions, one of which must fit a frame.
    pub functions: Vec<String>,
}

/// Why a user's rule is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stack layer rule {index}: {fault}")]
pub struct InvalidStackLayerRule {
    /// Position of the rule in the user's list, counted from 0.
    pub index: usize,
    /// What is wrong with it.
    pub fault: StackLayerFault,
}

/// What is wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StackLayerFault {
    /// The layer has no name, or a long one.
    #[error("expected a layer of 1 to {LAYER_NAME_BYTES_MAX} bytes, found {found_bytes}")]
    Layer {
        /// Its length.
        found_bytes: usize,
    },
    /// No pattern, or too many.
    #[error("expected 1 to {FUNCTIONS_MAX} functions, found {found}")]
    FunctionCount {
        /// How many there are.
        found: usize,
    },
    /// A pattern is empty or long.
    #[error(
        "expected a pattern of 1 to {} bytes, found {found_bytes}",
        FunctionPattern::BYTES_MAX
    )]
    Length {
        /// Position in `functions`, counted from 0.
        function: usize,
        /// Its length.
        found_bytes: usize,
    },
    /// A pattern fits everything.
    #[error("`{found}` fits every stack")]
    Everything {
        /// Position in `functions`, counted from 0.
        function: usize,
        /// The pattern.
        found: String,
    },
    /// No function has such a name.
    #[error("`{found}` fits no function of Go: {why}")]
    NoFunction {
        /// Position in `functions`, counted from 0.
        function: usize,
        /// The pattern.
        found: String,
        /// What no name has.
        why: &'static str,
    },
    /// What the pattern fits, an earlier one does already.
    #[error("`{found}` never decides: `{earlier}` of rule {rule} comes first")]
    Covered {
        /// Position in `functions`, counted from 0.
        function: usize,
        /// The pattern.
        found: String,
        /// The earlier pattern.
        earlier: String,
        /// Position of its rule, counted from 0.
        rule: usize,
    },
    /// There are too many rules.
    #[error("expected at most {RULES_MAX} stack layer rules")]
    TooManyRules,
}

impl StackLayerFault {
    /// The field of the rule that it is about, with positions in lists as in `function::0`; `None` for the whole rule.
    pub fn field(&self) -> Option<String> {
        match self {
            Self::Length { function, .. }
            | Self::Everything { function, .. }
            | Self::NoFunction { function, .. }
            | Self::Covered { function, .. } => Some(format!("function::{function}")),
            Self::Layer { .. } => Some("layer".to_owned()),
            Self::FunctionCount { .. } => Some("function".to_owned()),
            Self::TooManyRules => None,
        }
    }

    /// What the user can do.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Layer { .. } => "name the layer that time in these functions belongs to",
            Self::FunctionCount { .. } | Self::Length { .. } | Self::Everything { .. } => {
                "give the beginning of a function's name, such as `example.com/shop/search.(*Index)`"
            }
            Self::NoFunction { .. } => "write it as in a stack trace of Go, such as `gopkg.in/redis%2ev5.(*Client)`",
            Self::Covered { .. } => "put the narrower pattern first, or leave it out",
            Self::TooManyRules => "a star in a pattern stands for many names",
        }
    }
}

/// Checks the rules; all faults are reported.
pub(super) fn check(rules: &[StackLayerRule]) -> Result<(), Vec<InvalidStackLayerRule>> {
    let mut invalid = Vec::new();
    if rules.len() > RULES_MAX {
        invalid.push(InvalidStackLayerRule {
            index: RULES_MAX,
            fault: StackLayerFault::TooManyRules,
        });
    }
    let mut earlier: Vec<Earlier<'_>> = Vec::new();
    for (index, rule) in rules.iter().enumerate().take(RULES_MAX) {
        let mut faults = faults_of_rule(rule);
        for (function, text) in rule.functions.iter().enumerate().take(FUNCTIONS_MAX) {
            let fault = fault_of_pattern(function, text).or_else(|| covered(function, text, &earlier));
            match fault {
                Some(fault) => faults.push(fault),
                None => earlier.push(Earlier {
                    rule: index,
                    text,
                    pattern: FunctionPattern::new(text),
                }),
            }
        }
        invalid.extend(faults.into_iter().map(|fault| InvalidStackLayerRule { index, fault }));
    }
    match invalid.is_empty() {
        true => Ok(()),
        false => Err(invalid),
    }
}

/// A pattern that comes before others.
struct Earlier<'a> {
    rule: usize,
    text: &'a str,
    pattern: FunctionPattern,
}

fn faults_of_rule(rule: &StackLayerRule) -> Vec<StackLayerFault> {
    let found_bytes = rule.layer.as_str().len();
    let layer = !(1..=LAYER_NAME_BYTES_MAX).contains(&found_bytes);
    let found = rule.functions.len();
    let count = !(1..=FUNCTIONS_MAX).contains(&found);
    let faults = [
        layer.then_some(StackLayerFault::Layer { found_bytes }),
        count.then_some(StackLayerFault::FunctionCount { found }),
    ];
    faults.into_iter().flatten().collect()
}

fn fault_of_pattern(function: usize, text: &str) -> Option<StackLayerFault> {
    let found_bytes = text.len();
    if !(1..=FunctionPattern::BYTES_MAX).contains(&found_bytes) {
        return Some(StackLayerFault::Length { function, found_bytes });
    }
    let found = text.to_owned();
    if text.bytes().all(|byte| byte == b'*') {
        return Some(StackLayerFault::Everything { function, found });
    }
    let why = no_name_has(text)?;
    Some(StackLayerFault::NoFunction { function, found, why })
}

/// What in a pattern no name of a function has.
fn no_name_has(pattern: &str) -> Option<&'static str> {
    let last_element = pattern.rsplit_once('/').map(|(_, last)| last);
    let is_versioned = |last: &str| pattern.starts_with("gopkg.in/") && last.contains(".v");
    let ends_in_go = |last: &str| last.ends_with(".go") || last.contains(".go.");
    if pattern.contains(char::is_whitespace) {
        Some("there is a blank in it")
    } else if pattern.contains("://") {
        Some("it is the address of a page")
    } else if pattern
        .match_indices('(')
        .any(|(at, _)| !pattern[at..].starts_with("(*"))
    {
        Some("a parenthesis stands only around the type of a pointer, as in `(*T)`")
    } else if last_element.is_some_and(|last| is_versioned(last) || ends_in_go(last)) {
        Some("a dot in the last element of an import path is `%2e` there")
    } else {
        None
    }
}

/// Whether an earlier pattern fits all that `text` does. Of patterns with stars only equal ones are told.
fn covered(function: usize, text: &str, earlier: &[Earlier<'_>]) -> Option<StackLayerFault> {
    let name = FunctionPattern::without_type_arguments(text);
    let has_stars = name.match_indices('*').any(|(at, _)| !name[..at].ends_with('('));
    let covers = |earlier: &&Earlier<'_>| earlier.text == text || (!has_stars && earlier.pattern.matches(&name));
    let earlier = earlier.iter().find(covers)?;
    Some(StackLayerFault::Covered {
        function,
        found: text.to_owned(),
        earlier: earlier.text.to_owned(),
        rule: earlier.rule,
    })
}
