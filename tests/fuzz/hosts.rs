//! libFuzzer on `targets::hosts_file`.
#![no_main]

mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    std::thread_local! {
        static DIRECTORY: tempfile::TempDir = tempfile::tempdir().unwrap();
    }
    DIRECTORY.with(|directory| targets::hosts_file(directory.path(), bytes));
});
