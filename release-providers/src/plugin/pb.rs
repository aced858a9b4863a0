//! The messages of the contract, generated from `proto/` by `build.rs`.
#![expect(unreachable_pub, reason = "generated code is public in a private module")]
#![expect(
    clippy::doc_markdown,
    clippy::struct_excessive_bools,
    clippy::struct_field_names,
    clippy::trivially_copy_pass_by_ref,
    reason = "generated code"
)]

include!(concat!(env!("OUT_DIR"), "/release.plugin.v1.rs"));
