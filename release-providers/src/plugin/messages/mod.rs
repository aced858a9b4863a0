//! Which type is which message. One line a type where the fields are the same.

mod data;
mod deliver;
mod error;
mod people;
mod work;

pub(super) use self::error::{error_from_wire, error_to_wire};

#[cfg(test)]
mod tests {
    use release_core::plan::Weight;

    use crate::plugin::pb;
    use crate::plugin::wire::Wire as _;
    use crate::spi::{ApplyRequest, DeploymentStatus};

    #[test]
    fn f39_fields_that_lie_are_named() {
        let wire = pb::DeploymentStatus {
            target: Some(pb::Target { environment: "../etc".into(), ..Default::default() }),
            ..Default::default()
        };
        let error = DeploymentStatus::from_wire(wire).unwrap_err();
        assert!(error.to_string().starts_with("field `target.environment`: "), "{error}");
        let error = ApplyRequest::from_wire(pb::ApplyRequest::default()).unwrap_err();
        assert_eq!(error.to_string(), "field `target`: it is missing");
        let error = Weight::from_wire(pb::Weight {
            digest: release_core::model::Digest::of(b"x").to_string(),
            version: "1.0.0".into(),
            percent: 256,
        });
        assert_eq!(error.unwrap_err().to_string(), "field `percent`: 256 is more than 255");
    }
}
