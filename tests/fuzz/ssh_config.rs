//! libFuzzer on `targets::ssh_config`.
#![no_main]

mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    std::thread_local! {
        static DIRECTORY: tempfile::TempDir = tempfile::tempdir().unwrap();
    }
    DIRECTORY.with(|directory| targets::ssh_config(directory.path(), bytes));
});
