//! Programs as they are written: what their self view shows, and that their root view shows the cause. Microseconds.

use crate::text::{check, parse};

#[test]
fn s1_a_client_behind_a_read_loop_waits_for_the_network_and_not_for_select() {
    check(
        "g1: run 0..80, select 80..5160 by g3, ready/unblocked 5160..5170, run 5170..5240
         | g2: select 0..82 by g1, ready/unblocked 82..85, run 85..100, select 100..5300
         | g3: net 0..5120 by ext, ready/unblocked 5120..5125, run 5125..5165, select 5165..5300
         | span GET on g1 layer handler: 0..5240 | span call in GET on g1 layer http.client: 60..5180",
        "GET self: run 120, http.client/run 30, http.client/ready/unblocked 10, http.client/select 5080 \
         | GET root: run 120, http.client/run 30, helper:http.client/run 35, http.client/ready/unblocked 10, \
         helper:http.client/ready/unblocked 5, helper:http.client/net 5040 \
         | call self: run 30, ready/unblocked 10, select 5080 \
         | call root: run 30, helper:run 35, ready/unblocked 10, helper:ready/unblocked 5, helper:net 5040",
    );
}

#[test]
fn s2_a_pool_of_one_connection_is_the_network_of_other_requests() {
    check(
        "g1: run 0..10, net 10..1010 by ext, run 1010..1020
         | g2: run 1..5, select/db_pool 5..1015 by g1, ready/unblocked 1015..1018, run 1018..1025, net 1025..2025 by ext
         , run 2025..2035
         | g3: run 2..6, select/db_pool 6..2030 by g2, ready/unblocked 2030..2033, run 2033..2040, net 2040..3040 by ext
         , run 3040..3050
         | span first on g1 layer db: 0..1020 | span second on g2 layer db: 1..2035 | span third on g3 layer db: 2..3050",
        "third self: run 21, ready/unblocked 3, select/db_pool 2024, net 1000 \
         | third root: run 21, ready/unblocked 3, net 1000, blocked/select 9 by first db/run, \
         blocked/select 1000 by first db/net, blocked/select 12 by second db/run, blocked/select 3 by second db/ready, \
         blocked/select 1000 by second db/net \
         | second self: run 21, ready/unblocked 3, select/db_pool 1010, net 1000 \
         | second root: run 21, ready/unblocked 3, net 1000, blocked/select 10 by first db/run, \
         blocked/select 1000 by first db/net \
         | first self: run 20, net 1000 | first root: run 20, net 1000",
    );
}

#[test]
fn s3_the_last_of_a_mutex_convoy_waits_for_the_others_to_run() {
    let mut timeline = "g1: run 0..1000".to_owned();
    let mut spans = " | span r1 on g1 layer cache: 0..1000".to_owned();
    for request in 2..=8 {
        let (start, before) = (1_000 * (request - 1), request - 1);
        timeline += &format!(
            " | g{request}: mutex 0..{start} by g{before}, run {start}..{}",
            start + 1_000
        );
        spans += &format!(" | span r{request} on g{request} layer cache: 0..{}", start + 1_000);
    }
    timeline += &spans;
    let culprit = |request| format!(", blocked/mutex 1000 by r{request} cache/run");
    for request in 2..=8 {
        let culprits: String = (1..request).map(culprit).collect();
        let waited = 1_000 * (request - 1);
        check(
            &timeline,
            &format!("r{request} self: run 1000, mutex {waited} | r{request} root: run 1000{culprits}"),
        );
    }
    check(&timeline, "r1 self: run 1000 | r1 root: run 1000");
    let scene = parse(&timeline);
    let analysis = scene.world.analyze(&scene.recordings);
    let last = analysis.root_pieces(scene.world.key("r8")).unwrap();
    let depths: Vec<u32> = last.iter().map(|piece| piece.depth).collect();
    assert_eq!(depths, [7, 6, 5, 4, 3, 2, 1, 0]);
}

#[test]
fn s4_an_errgroup_waits_for_its_slowest_member_and_no_other() {
    check(
        "g1: run 0..100, wg/errgroup 100..9150 by g3, ready/unblocked 9150..9160, run 9160..9200
         | g2 from g1: ready/created 60..70, run 70..90, net 90..2090 by ext, run 2090..2110
         | g3 from g1: ready/created 80..95, run 95..120, net 120..9120 by ext, run 9120..9155
         | g4 from g1: ready/created 95..110, run 110..130, net 130..4130 by ext, run 4130..4150
         | span GET on g1 layer handler: 0..9200 | span a in GET on g2 layer db: 72..2100
         | span b in GET on g3 layer db: 97..9140 | span c in GET on g4 layer db: 112..4140",
        "GET self: run 140, ready/unblocked 10, wg/errgroup 9050 \
         | GET root: db/run 40, db/net 9000, run 150, ready/unblocked 10 \
         | a self: run 28, net 2000 | a root: run 28, net 2000 | b self: run 43, net 9000 | b root: run 43, net 9000 \
         | c self: run 28, net 4000 | c root: run 28, net 4000",
    );
}

#[test]
fn s5_behind_a_single_worker_the_time_is_the_workers_whoever_it_works_for() {
    check(
        "g1: chan/recv 0..10 by g2, run 10..4010, chan/recv 4010..4100
         | g2: run 0..10, chan 10..1010 by g1, run 1010..1020 | g3: run 0..11, chan 11..2010 by g1, run 2010..2020
         | g4: run 0..12, chan 12..3010 by g1, run 3010..3020 | g5: run 0..13, chan 13..4010 by g1, run 4010..4020
         | span first on g2: 0..1020 | span second on g3: 0..2020 | span third on g4: 0..3020
         | span fourth on g5: 0..4020",
        "fourth self: run 23, chan 3997 | fourth root: run 23, helper:run 3997 \
         | third self: run 22, chan 2998 | third root: run 22, helper:run 2998 \
         | second self: run 21, chan 1999 | second root: run 21, helper:run 1999 \
         | first self: run 20, chan 1000 | first root: run 20, helper:run 1000",
    );
}
