//! What stays on disk, what goes, and what is left alone.

use std::path::Path;

use spandrel_model::{OffsetEstimate, ProcessIdentity};
use spandrel_pipeline::ProfileFormat;

use super::*;

const PLENTY: u64 = 1 << 20;

fn profile(bytes: &'static [u8]) -> RuntimeProfile {
    RuntimeProfile {
        format: ProfileFormat::GoExecutionTrace,
        bytes: bytes.into(),
        process: ProcessIdentity {
            service_name: "shop".into(),
            service_instance_id: Some("1".into()),
            pid: Some(7),
            ..ProcessIdentity::default()
        },
        source: "upload from\n\"x\"".into(),
        fetched: None,
        warnings: std::sync::OnceLock::new(),
    }
}

fn open(path: &Path) -> (Arc<RecordingsDirectory>, Earlier) {
    RecordingsDirectory::open(path, PLENTY).unwrap()
}

/// Names in a directory, without the lock.
fn names(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name != LOCK && name != AT_WORK).collect();
    names.sort_unstable();
    names
}

#[test]
fn accepted_profiles_are_there_again_in_the_order_of_arrival() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("below").join("recordings");
    let (directory, earlier) = open(&path);
    assert!(earlier.profiles.is_empty() && earlier.foreign.is_empty());
    let decision = Decision {
        owner: Some(Arc::new(profile(b"").process)),
        placed: Some(OffsetEstimate {
            offset_ns: i64::MAX,
            error_ns: 1,
            witnesses: 2,
            asked: 3,
        }),
        rows_under: Some(Arc::default()),
    };
    for bytes in [b"one\n".as_slice(), b"", b"three"] {
        directory.store(&profile(bytes)).unwrap().keep();
    }
    drop(directory);
    let (directory, earlier) = open(&path);
    let read: Vec<_> = earlier.profiles.iter().map(|stored| stored.read().unwrap()).collect();
    assert_eq!(
        read.iter().map(|read| &read.bytes[..]).collect::<Vec<_>>(),
        [&b"one\n"[..], b"", b"three"]
    );
    let (found, sent) = (&read[0], profile(b"one\n"));
    assert_eq!(
        (&found.process, &found.source, found.format),
        (&sent.process, &sent.source, sent.format)
    );
    assert_eq!(earlier.profiles[0].read_decision().unwrap(), None);
    for decided in [Decision::default(), decision] {
        earlier.profiles[0].write_decision(&decided).unwrap();
        assert_eq!(earlier.profiles[0].read_decision().unwrap(), Some(decided));
    }
    drop(directory.store(&profile(b"never accepted")).unwrap());
    earlier.profiles[0].let_go();
    drop(earlier);
    assert!(directory.has_unneeded());
    directory.remove_unneeded();
    let left = ["00000000000000000002.profile", "00000000000000000003.profile"];
    assert_eq!(names(&path), left);
    assert_eq!(
        directory.used_bytes(),
        size(&path, &left),
        "what is left alone takes room"
    );
    directory.store(&profile(b"never accepted, either")).unwrap();
    drop(directory);
    assert_eq!(names(&path), left);
}

fn size(path: &Path, names: &[&str]) -> u64 {
    let sizes = names
        .iter()
        .map(|name| std::fs::metadata(path.join(name)).unwrap().len());
    sizes.sum()
}

#[test]
fn files_that_are_left_alone_take_room_and_are_named_when_it_is_wanted() {
    let path = tempfile::tempdir().unwrap();
    let (directory, _) = open(path.path());
    directory.store(&profile(b"0123456789")).unwrap().keep();
    let bytes = directory.used_bytes();
    drop(directory);
    let (directory, earlier) = RecordingsDirectory::open(path.path(), 2 * bytes - 1).unwrap();
    drop(earlier);
    let full = directory.store(&profile(b"0123456789")).unwrap_err();
    assert!(
        matches!(full, DirectoryError::Full { left_alone_bytes, .. } if left_alone_bytes == bytes),
        "{full}"
    );
}

#[test]
fn what_is_set_aside_stays_with_its_decision_until_its_room_is_needed() {
    let path = tempfile::tempdir().unwrap();
    let (directory, _) = open(path.path());
    let stored = directory.store(&profile(b"0123456789")).unwrap();
    stored.keep();
    stored.write_decision(&Decision::default()).unwrap();
    let aside = stored.set_aside().unwrap().unwrap();
    let left = ["00000000000000000001.aside", "00000000000000000001.decision"];
    assert!(aside.ends_with(left[0]));
    let bytes = directory.used_bytes();
    drop((stored, directory));
    assert_eq!(names(path.path()), left);

    let (directory, earlier) = RecordingsDirectory::open(path.path(), 2 * bytes).unwrap();
    assert!(earlier.profiles.is_empty() && earlier.fatal.is_empty());
    assert_eq!((earlier.aside, directory.used_bytes()), (vec![aside], bytes));
    let second = directory.store(&profile(b"0123456789")).unwrap();
    assert_eq!(names(path.path()).len(), 3, "there is room for both");
    let third = directory.store(&profile(b"0123456789")).unwrap();
    let left = ["00000000000000000002.profile", "00000000000000000003.profile"];
    assert_eq!(names(path.path()), left);
    assert_eq!(directory.used_bytes(), size(path.path(), &left));
    drop((second, third));
    assert_eq!(directory.used_bytes(), 0);
}

#[test]
fn what_is_set_aside_does_not_go_if_that_does_not_make_room() {
    let path = tempfile::tempdir().unwrap();
    let (directory, _) = open(path.path());
    let [kept, aside] = [b"0123456789"; 2].map(|bytes| directory.store(&profile(bytes)).unwrap());
    kept.keep();
    aside.keep();
    aside.set_aside().unwrap();
    let bytes = kept.size_bytes();
    drop((kept, aside, directory));
    let (directory, _earlier) = RecordingsDirectory::open(path.path(), 2 * bytes).unwrap();
    let error = directory.store(&profile(b"0123456789abc")).unwrap_err();
    let DirectoryError::Full { missing_bytes, .. } = error else {
        panic!("{error}");
    };
    // Three bytes; the CRC-32 may have fewer digits, or more.
    assert!((1..10).contains(&missing_bytes), "{missing_bytes}");
    assert_eq!(names(path.path()).len(), 2);
    directory.store(&profile(b"")).unwrap();
    assert_eq!(
        names(path.path()),
        ["00000000000000000001.profile", "00000000000000000003.profile"]
    );
}

#[test]
fn what_is_copied_back_is_another_file_with_the_same_decision() {
    let path = tempfile::tempdir().unwrap();
    let (directory, _) = open(path.path());
    let stored = directory.store(&profile(b"0123456789")).unwrap();
    stored.keep();
    stored.write_decision(&Decision::default()).unwrap();
    let aside = stored.set_aside().unwrap().unwrap();
    let bytes = stored.size_bytes();
    drop((stored, directory));
    let copied_back = || {
        std::fs::copy(&aside, aside.with_extension("profile")).unwrap();
        RecordingsDirectory::open(path.path(), 2 * bytes).unwrap()
    };

    let (directory, earlier) = copied_back();
    earlier.profiles[0].set_aside().unwrap();
    assert_eq!(directory.used_bytes(), bytes, "one has taken the place of the other");
    drop((directory, earlier));

    let (directory, earlier) = copied_back();
    assert_eq!(directory.used_bytes(), 2 * bytes);
    let second = directory.store(&profile(b"0123456789")).unwrap();
    let decided = earlier.profiles[0].read_decision().unwrap();
    assert_eq!(decided, Some(Decision::default()));
    assert_eq!(&earlier.profiles[0].read().unwrap().bytes[..], b"0123456789");
    assert!(!aside.exists());
    drop((second, earlier, directory));

    std::fs::copy(aside.with_extension("profile"), &aside).unwrap();
    let (directory, earlier) = open(path.path());
    earlier.profiles[0].let_go();
    drop((directory, earlier));
    assert_eq!(
        names(path.path()),
        ["00000000000000000001.aside", "00000000000000000001.decision"]
    );
}

#[test]
fn what_has_been_let_go_is_not_set_aside() {
    let path = tempfile::tempdir().unwrap();
    let (directory, _) = open(path.path());
    let stored = directory.store(&profile(b"one")).unwrap();
    stored.keep();
    stored.let_go();
    assert_eq!(stored.set_aside().unwrap(), None);
    drop((stored, directory));
    assert_eq!(names(path.path()), [""; 0]);
}

#[test]
fn a_deadly_profile_that_cannot_be_set_aside_is_left_out_at_every_start() {
    let path = tempfile::tempdir().unwrap();
    let (directory, _) = open(path.path());
    for bytes in [b"one", b"two"] {
        directory.store(&profile(bytes)).unwrap().keep();
    }
    drop(directory);
    std::fs::write(path.path().join(AT_WORK), "1\n1\n").unwrap();
    let in_the_way = path.path().join("00000000000000000001.aside");
    std::fs::create_dir(&in_the_way).unwrap();
    for _ in 0..2 {
        let (directory, earlier) = open(path.path());
        let left: Vec<u64> = earlier.profiles.iter().map(|stored| stored.number).collect();
        assert_eq!((left, earlier.fatal.len()), (vec![2], 0));
        drop(directory);
    }
    std::fs::remove_dir(&in_the_way).unwrap();
    assert_eq!(open(path.path()).1.fatal, [in_the_way]);
    assert_eq!(std::fs::read_to_string(path.path().join(AT_WORK)).unwrap(), "");
}

#[test]
fn a_profile_at_which_the_process_dies_twice_is_set_aside() {
    let path = tempfile::tempdir().unwrap();
    let (directory, _) = open(path.path());
    for bytes in [b"one", b"two"] {
        directory.store(&profile(bytes)).unwrap().keep();
    }
    drop(directory);
    for at_work in [0..2, 1..2] {
        let (directory, earlier) = open(path.path());
        assert_eq!(earlier.profiles.len(), 2);
        drop(AtWork::begin(earlier.profiles.iter()));
        std::mem::forget(AtWork::begin(earlier.profiles[at_work].iter()));
        drop((directory, earlier));
    }
    for _ in 0..2 {
        let (directory, earlier) = open(path.path());
        let left: Vec<_> = earlier
            .profiles
            .iter()
            .map(|stored| stored.read().unwrap().bytes)
            .collect();
        assert_eq!(left, [&b"one"[..]]);
        let aside = earlier.fatal.iter().chain(&earlier.aside);
        assert_eq!(
            aside.collect::<Vec<_>>(),
            [&path.path().join("00000000000000000002.aside")]
        );
        drop(directory);
    }
}

#[test]
fn of_a_relative_path_only_what_is_missing_is_made() {
    for (path, missing) in [
        ("no-such-directory/below", 2),
        ("no-such-directory", 1),
        ("src", 0),
        ("src/below", 1),
    ] {
        assert_eq!(missing_count(Path::new(path)), missing, "{path}");
    }
}

#[test]
fn room_is_bounded_and_free_as_soon_as_a_profile_is_let_go() {
    let path = tempfile::tempdir().unwrap();
    let (directory, _) = open(path.path());
    let stored = directory.store(&profile(b"seven..")).unwrap();
    let bytes = directory.used_bytes();
    assert_eq!(std::fs::metadata(stored.profile_path()).unwrap().len(), bytes);
    stored.keep();
    drop((directory, stored));

    let (directory, earlier) = RecordingsDirectory::open(path.path(), bytes + 1).unwrap();
    let full = directory.store(&profile(b"two")).unwrap_err();
    assert!(matches!(full, DirectoryError::Full { .. }), "{full}");
    let large = directory.store(&profile(b"seven, and more")).unwrap_err();
    assert!(matches!(large, DirectoryError::TooLarge { .. }), "{large}");
    let reader = earlier.profiles.into_iter().next().unwrap();
    reader.let_go();
    let stored = directory.store(&profile(b"two")).unwrap();
    assert_eq!(&reader.read().unwrap().bytes[..], b"seven..", "who reads it has it");
    drop((reader, stored));
    assert_eq!(directory.used_bytes(), 0);
}

#[test]
fn a_directory_in_use_is_refused_by_name() {
    let path = tempfile::tempdir().unwrap();
    let (directory, _) = open(path.path());
    let error = RecordingsDirectory::open(path.path(), PLENTY).unwrap_err().to_string();
    assert!(
        error.contains("is in use") && error.contains("recordings_directory"),
        "{error}"
    );
    drop(directory);
    open(path.path());
}

#[test]
fn what_is_half_written_goes_and_what_is_foreign_stays() {
    let path = tempfile::tempdir().unwrap();
    let file = |name: &str| path.path().join(name);
    let foreign = [
        "00000000000000000001.profile.bak",
        "1.profile",
        "notes.txt",
        "99999999999999999999.profile",
    ];
    let half_written = [
        ".00000000000000000001.profile.tmp",
        ".00000000000000000001.decision.tmp",
    ];
    let without_profile = "00000000000000000009.decision";
    for name in foreign.iter().chain(&half_written).chain([&without_profile]) {
        std::fs::write(file(name), "x").unwrap();
    }
    std::fs::create_dir(file("00000000000000000002.profile")).unwrap();
    let (_directory, earlier) = open(path.path());
    assert!(earlier.profiles.is_empty());
    let mut stay = foreign.to_vec();
    stay.push("00000000000000000002.profile");
    stay.sort_unstable();
    let found: Vec<_> = earlier
        .foreign
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(found, stay);
    assert_eq!(names(path.path()), stay);
}

#[test]
fn a_damaged_file_is_an_error_that_names_it_and_stays() {
    let path = tempfile::tempdir().unwrap();
    let (directory, _) = open(path.path());
    let stored = directory.store(&profile(b"0123456789")).unwrap();
    stored.keep();
    let whole = std::fs::read(stored.profile_path()).unwrap();
    let mut other = whole.clone();
    *other.last_mut().unwrap() ^= 1;
    let version = String::from_utf8(whole.clone())
        .unwrap()
        .replace("\"version\":1", "\"version\":2");
    for (content, why) in [
        (&whole[..whole.len() - 1], "9 bytes of a profile, expected 10"),
        (&whole[..20], "no first line"),
        (&b"no JSON\n0123456789"[..], "text is not as expected"),
        (&other, "CRC-32"),
        (version.as_bytes(), "version 2, expected 1"),
    ] {
        std::fs::write(stored.profile_path(), content).unwrap();
        let error = stored.read().unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        let named = stored.profile_path().display().to_string();
        assert!(
            error.to_string().contains(&named) && cause.contains(why),
            "{error}: {cause}"
        );
    }
    drop(stored);
    assert_eq!(names(path.path()).len(), 1);
}

#[test]
fn a_directory_that_cannot_be_made_is_an_error_that_names_it_and_the_setting() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = RecordingsDirectory::open(&file.path().join("below"), PLENTY)
        .unwrap_err()
        .to_string();
    let named = file.path().display().to_string();
    assert!(
        error.contains(&named) && error.contains("recordings_directory"),
        "{error}"
    );
}

#[test]
fn what_could_not_be_written_takes_no_room() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("recordings");
    let (directory, _) = open(&path);
    std::fs::remove_dir_all(&path).unwrap();
    let error = directory.store(&profile(b"x")).unwrap_err();
    assert!(matches!(error, DirectoryError::Io { .. }), "{error}");
    assert_eq!(directory.used_bytes(), 0);
}
