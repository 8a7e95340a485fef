#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| salt402_properties::run("balance", data));
