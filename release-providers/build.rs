//! Compiles the plugin contract in `proto/` to Rust types, where the feature `plugin` is on. Pure Rust:
//! no `protoc` is needed.

#[cfg(feature = "plugin")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    compile()
}

#[cfg(not(feature = "plugin"))]
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}

#[cfg(feature = "plugin")]
fn compile() -> Result<(), Box<dyn std::error::Error>> {
    use std::path::{Path, PathBuf};

    let root = Path::new("proto");
    let folder = root.join("release/plugin/v1");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    files.sort_unstable(); // the same output everywhere
    let mut compiler = protox::Compiler::new([root])?;
    compiler.include_source_info(true); // comments become documentation
    compiler.open_files(files)?;
    std::fs::write(
        out_dir()?.join("plugin-contract.binpb"),
        compiler.encode_file_descriptor_set(),
    )?;
    // Calls and replies of capabilities are the two envelopes on the wire.
    let set = compiler.file_descriptor_set();
    let mut config = prost_build::Config::new();
    let services = set.file.iter().flat_map(|file| &file.service);
    for method in services.filter(|s| s.name() != "Plugin").flat_map(|service| &service.method) {
        config.extern_path(method.input_type(), "crate::plugin::envelope::Call");
        config.extern_path(method.output_type(), "crate::plugin::envelope::Reply");
    }
    config.btree_map(["."]); // the same order everywhere
    config.bytes(["."]); // not copied on the way
    // Written by hand, without the secret.
    config.skip_debug([".release.plugin.v1.SecretLease", ".release.plugin.v1.SecretValue"]);
    config.compile_fds(set)?;
    Ok(())
}

#[cfg(feature = "plugin")]
#[expect(clippy::disallowed_methods, reason = "Cargo speaks to build scripts by the environment")]
fn out_dir() -> Result<std::path::PathBuf, std::env::VarError> {
    std::env::var("OUT_DIR").map(Into::into)
}
