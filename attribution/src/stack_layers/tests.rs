//! Which layer a stack has.

use std::collections::BTreeSet;
use std::sync::Arc;

use spandrel_model::{AttributeValue, Interval, SpanId, TraceId, UnixNanos};

use super::*;

/// Innermost frame first.
fn check(stack: &[&str], expected: &str) {
    let layers = StackLayers::default();
    let found = layers.layer_of(stack.iter().copied()).map_or("", Layer::as_str);
    assert_eq!(found, expected, "{stack:?}");
}

fn rule(layer: &str, functions: &[&str]) -> StackLayerRule {
    StackLayerRule {
        layer: Layer::new(layer),
        functions: functions.iter().map(|function| (*function).to_owned()).collect(),
    }
}

fn faults(rules: &[StackLayerRule]) -> Vec<String> {
    let invalid = StackLayers::with_user_rules(rules).unwrap_err();
    invalid.iter().map(ToString::to_string).collect()
}

#[test]
fn common_libraries_have_the_layer_of_their_instrumentation() {
    check(
        &[
            "net.(*conn).Read",
            "github.com/jackc/pgx/v5/pgconn.(*PgConn).peekMessage",
        ],
        "db",
    );
    check(&["database/sql.(*DB).conn", "main.load"], "db");
    check(
        &["github.com/redis/go-redis/v9/internal/pool.(*ConnPool).waitTurn"],
        "cache",
    );
    check(&["net/http.(*persistConn).readLoop"], "http.client");
    check(&["golang.org/x/net/http2.(*clientConnReadLoop).run"], "http.client");
    check(&["google.golang.org/grpc.(*clientStream).RecvMsg"], "rpc.client");
    check(&["github.com/segmentio/kafka-go.(*Reader).FetchMessage"], "messaging");
    check(&["github.com/nats-io/nats%2ego.(*Conn).readLoop"], "messaging");
    check(
        &[
            "net.(*Resolver).goLookupIPCNAMEOrder",
            "net.(*Resolver).LookupHost",
            "main.main",
        ],
        "dns",
    );
}

#[test]
fn what_serves_requests_and_what_is_not_known_has_no_layer() {
    check(&[], "");
    check(&["time.Sleep", "main.work"], "");
    check(&["net/http.(*conn).readRequest", "net/http.(*conn).serve"], "");
    check(&["net/http.(*http2serverConn).serve", "net/http.(*conn).serve"], "");
    check(&["golang.org/x/net/http2.(*serverConn).serve"], "");
    check(&["google.golang.org/grpc.(*Server).handleStream"], "");
    check(
        &["google.golang.org/grpc/internal/transport.(*http2Server).HandleStreams"],
        "",
    );
    check(&["github.com/redis/go-redis-fork.Get"], "");
}

#[test]
fn a_call_is_what_the_program_called_not_what_carried_it() {
    let carried = [
        "net.(*Resolver).LookupHost",
        "net/http.(*Transport).RoundTrip",
        "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp.(*Transport).RoundTrip",
    ];
    check(&carried, "http.client");
    for (library, layer) in [
        (
            "github.com/elastic/elastic-transport-go/v8/elastictransport.(*Client).Perform",
            "db",
        ),
        (
            "github.com/aws/aws-sdk-go-v2/service/sqs.(*Client).SendMessage",
            "messaging",
        ),
        (
            "github.com/aws/aws-sdk-go-v2/service/s3.(*Client).GetObject",
            "rpc.client",
        ),
    ] {
        check(&[&carried[..], &[library, "main.handle"]].concat(), layer);
    }
    check(
        &[
            "google.golang.org/grpc.(*ClientConn).Invoke",
            "cloud.google.com/go/spanner.(*Client).Single",
        ],
        "db",
    );
}

#[test]
fn what_the_program_does_in_a_callback_of_a_library_is_the_programs() {
    let outside = [
        "github.com/nats-io/nats%2ego.(*Conn).waitForMsgs",
        "github.com/nats-io/nats%2ego.(*Conn).subscribe.func1",
    ];
    check(&[&["time.Sleep", "main.onMessage"], &outside[..]].concat(), "");
    check(
        &[&["database/sql.(*DB).QueryContext", "main.onMessage"], &outside[..]].concat(),
        "db",
    );
    let transaction = "go.mongodb.org/mongo-driver/v2/mongo.(*Session).WithTransaction";
    check(&["time.Sleep", "main.transfer.func1", transaction, "main.transfer"], "");
    check(
        &[
            "go.mongodb.org/mongo-driver/v2/mongo.(*Session).CommitTransaction",
            transaction,
        ],
        "db",
    );
}

#[test]
fn rules_of_a_user_come_first_and_in_their_order() {
    let layers = StackLayers::with_user_rules(&[
        rule("search", &["example.com/shop/search.(*Index)", "example.com/shop/find"]),
        rule("pricing", &["example.com/shop"]),
    ])
    .unwrap();
    let layer = |stack: &[&str]| layers.layer_of(stack.iter().copied()).map(Layer::as_str);
    assert_eq!(layer(&["example.com/shop/search.(*Index[...]).Get"]), Some("search"));
    assert_eq!(
        layer(&["database/sql.(*DB).conn", "example.com/shop/price.Load"]),
        Some("pricing")
    );
    assert_eq!(
        layer(&[
            "database/sql.(*DB).conn",
            "example.com/shop/price.Load",
            "example.com/shop/find.All"
        ]),
        Some("search")
    );
    assert_eq!(layer(&["database/sql.(*DB).conn"]), Some("db"));
    assert_eq!(StackLayers::none().layer_of(["database/sql.(*DB).conn"]), None);
}

#[test]
fn a_rule_that_can_never_decide_is_refused() {
    let found = faults(&[
        rule("", &["main.a"]),
        rule("x", &[]),
        rule(
            "x",
            &[
                "",
                "main.(Cache).Get",
                "main.work()",
                "https://example.com/x",
                "main.my work",
            ],
        ),
        rule("x", &["github.com/nats-io/nats.go", "gopkg.in/redis.v5", "*"]),
        rule("x", &["net/http", "main.a.b"]),
        rule("y", &["net/http.(*Transport)", "*.Fsync"]),
        rule("z", &["*.Fsync", "syscall.Fsync", "net/https"]),
    ]);
    let parenthesis = "a parenthesis stands only around the type of a pointer, as in `(*T)`";
    let dot = "a dot in the last element of an import path is `%2e` there";
    let expected = [
        "stack layer rule 0: expected a layer of 1 to 64 bytes, found 0".to_owned(),
        "stack layer rule 1: expected 1 to 256 functions, found 0".to_owned(),
        "stack layer rule 2: expected a pattern of 1 to 1024 bytes, found 0".to_owned(),
        format!("stack layer rule 2: `main.(Cache).Get` fits no function of Go: {parenthesis}"),
        format!("stack layer rule 2: `main.work()` fits no function of Go: {parenthesis}"),
        "stack layer rule 2: `https://example.com/x` fits no function of Go: it is the address of a page".to_owned(),
        "stack layer rule 2: `main.my work` fits no function of Go: there is a blank in it".to_owned(),
        format!("stack layer rule 3: `github.com/nats-io/nats.go` fits no function of Go: {dot}"),
        format!("stack layer rule 3: `gopkg.in/redis.v5` fits no function of Go: {dot}"),
        "stack layer rule 3: `*` fits every stack".to_owned(),
        "stack layer rule 4: `main.a.b` never decides: `main.a` of rule 0 comes first".to_owned(),
        "stack layer rule 5: `net/http.(*Transport)` never decides: `net/http` of rule 4 comes first".to_owned(),
        "stack layer rule 6: `*.Fsync` never decides: `*.Fsync` of rule 5 comes first".to_owned(),
        "stack layer rule 6: `syscall.Fsync` never decides: `*.Fsync` of rule 5 comes first".to_owned(),
    ];
    assert_eq!(found, expected);
    let many = vec![rule("x", &["main.a"]); 1_001];
    assert_eq!(
        faults(&many)[0],
        "stack layer rule 1000: expected at most 1000 stack layer rules"
    );
}

#[test]
fn built_in_rules_would_pass_as_a_users_but_for_parts_of_a_library() {
    let rules: Vec<StackLayerRule> = built_in::LIBRARIES
        .iter()
        .map(|of| rule(of.layer, of.functions))
        .collect();
    assert_eq!(StackLayers::with_user_rules(&rules).map(|_| ()), Ok(()));
    for callback in built_in::CALLBACKS {
        let name = callback.replace("*.", ".");
        let of_library = |of: &built_in::BuiltIn| {
            let patterns = patterns(of.functions.iter().copied());
            patterns.iter().any(|pattern| pattern.matches(&name))
        };
        assert!(built_in::LIBRARIES.iter().any(of_library), "{callback}");
    }
}

/// A page that lists what the table does not say, or the other way round, misleads.
#[test]
fn the_documentation_lists_the_built_in_rules_in_order() {
    let page = include_str!("../../../docs/attribution.md");
    let mut from = 0;
    for of in built_in::LIBRARIES {
        let functions: Vec<String> = of.functions.iter().map(|function| format!("`{function}`")).collect();
        let row = format!("| `{}` | {} |", of.layer, functions.join(", "));
        let at = page[from..].find(&row);
        from += at.unwrap_or_else(|| panic!("docs/attribution.md should have, in this order:\n{row}"));
    }
    let layers: BTreeSet<&str> = built_in::LIBRARIES.iter().map(|of| of.layer).collect();
    assert_eq!(layers.len(), built_in::LIBRARIES.len(), "one row for each layer");
}

#[test]
fn calls_and_spans_that_say_their_layer_are_not_refined() {
    let span = |kind, attributes: &[&str]| Span {
        trace_id: TraceId::default(),
        span_id: SpanId::default(),
        parent_span_id: None,
        parent_is_remote: None,
        process: Arc::default(),
        name: Arc::from("x"),
        kind,
        scope_name: Arc::from(""),
        interval: Interval::new(UnixNanos(0), UnixNanos(1)).unwrap(),
        attributes: attributes
            .iter()
            .map(|key| ((*key).to_owned(), AttributeValue::String("x".to_owned())))
            .collect(),
    };
    use SpanKind::*;
    let may_refine = |span: &Span| may_refine(span, &Layer::new("x"));
    for kind in [Internal, Unspecified, Server, Consumer] {
        assert!(may_refine(&span(kind, &["http.request.method"])), "{kind:?}");
        assert!(!may_refine(&span(kind, &["attribution.layer"])), "{kind:?}");
    }
    for kind in [Client, Producer] {
        assert!(!may_refine(&span(kind, &[])), "{kind:?}");
    }
    assert!(!may_refine(&span(Internal, &["db.system.name"])));
    assert!(may_refine(&span(Server, &["rpc.system"])));
    assert!(may_refine(&span(Consumer, &["messaging.system"])));
}
