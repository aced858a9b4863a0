//! Which type is which message. One line a type where the fields are the same.

mod data;
mod deliver;
mod error;
mod people;
mod work;

pub(super) use self::error::{error_from_wire, error_to_wire};

#[cfg(test)]
mod tests {
    use release_core::model::{Digest, IdentitySnapshot, Metric};
    use release_core::plan::Weight;
    use release_core::port::Measurement;

    use crate::plugin::pb;
    use crate::plugin::wire::{Crosses, Wire};
    use crate::spi::{
        ApplyRequest, ConfigSnapshot, CustomRequest, DeploymentStatus, FlagStatus, PutArtifact,
        StartScan,
    };

    fn refused<T: Crosses + std::fmt::Debug>(message: T::Message) -> String {
        T::from_wire(message).unwrap_err().to_string()
    }

    #[test]
    fn f39_fields_that_lie_are_named() {
        let digest = Digest::of(b"x").to_string();
        let outside = pb::Target { environment: "../etc".into(), ..Default::default() };
        let status = pb::DeploymentStatus { target: Some(outside), ..Default::default() };
        let weight = pb::Weight {
            digest: digest.clone(),
            version: "1.0.0".into(),
            percent: 256,
            track: None,
        };
        let numerator = pb::measurement::Ratio {
            digest: digest.clone(),
            numerator: f64::NAN,
            denominator: 1.0,
        };
        let ratio = pb::measurement::Measurement::Ratio(numerator);
        let nan = pb::Measurement { measurement: Some(ratio) };
        let half =
            pb::metric::Ratio { numerator: Some(pb::Selector::default()), denominator: None };
        let half = pb::Metric { metric: Some(pb::metric::Metric::Ratio(half)) };
        let scan = pb::StartScan { artifact: format!("api@{digest}"), kind: 77 };
        let flag = pb::FlagStatus { environment: "prod".into(), ..Default::default() };
        let values_json = [("size".to_owned(), "{".to_owned())].into();
        let config = pb::ConfigSnapshot { digest, values_json, ..Default::default() };
        let deep = pb::CustomRequest { input_json: "[".repeat(1_000), ..Default::default() };
        let path = pb::PutArtifact { name: "/etc".into(), ..Default::default() };
        // A right of which nobody says how far it reaches is none over all.
        let grant = pb::RoleGrant { role: "dev".into(), by: "ann".into(), ..Default::default() };
        let bob =
            pb::Identity { id: "bob".into(), kind: 1, grants: vec![grant], ..Default::default() };
        let directory = pb::IdentitySnapshot { identities: vec![bob], ..Default::default() };
        for (error, start) in [
            (refused::<DeploymentStatus>(status), "field `target.environment`: "),
            (refused::<ApplyRequest>(pb::ApplyRequest::default()), "field `target`: it is missing"),
            (refused::<Weight>(weight), "field `percent`: 256 is more than 255"),
            (refused::<Measurement>(nan), "field `numerator`: NaN"),
            (refused::<Metric>(half), "field `denominator`: it is missing"),
            (refused::<StartScan>(scan), "field `kind`: 77 is no known ScanKind"),
            (refused::<FlagStatus>(flag), "field `state`: it is missing"),
            (refused::<ConfigSnapshot>(config), "field `values_json`: it is no JSON"),
            (refused::<CustomRequest>(deep), "field `input_json`: it is no JSON"),
            (refused::<PutArtifact>(path), "field `name`: "),
            (
                refused::<IdentitySnapshot>(directory),
                "field `identities.grants.reach`: it is missing",
            ),
        ] {
            assert!(error.starts_with(start), "{error} is not {start}");
        }
    }

    #[test]
    fn free_data_that_is_left_out_is_null() {
        let request: CustomRequest = Wire::from_wire(pb::CustomRequest::default()).unwrap();
        assert_eq!(request.input, serde_json::Value::Null);
    }
}
