//! The envelopes of all calls and answers. On the wire, every message `XCall` and `XReply` of the contract is
//! one of these two with its inner message still encoded, so that both sides are written once.

use std::fmt;

use prost::bytes::Bytes;

use super::pb;

/// What every `XCall` is on the wire.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(super) struct Call {
    #[prost(message, optional, tag = "1")]
    pub(super) context: Option<pb::CallContext>,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) request: Bytes,
}

/// What every `XReply` is on the wire.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(super) struct Reply {
    #[prost(string, tag = "1")]
    pub(super) call_id: String,
    #[prost(oneof = "Outcome", tags = "2, 3")]
    pub(super) result: Option<Outcome>,
}

/// How a call ended.
#[derive(Clone, PartialEq, prost::Oneof)]
#[prost(skip_debug)]
pub(super) enum Outcome {
    #[prost(bytes = "bytes", tag = "2")]
    Ok(Bytes),
    #[prost(message, tag = "3")]
    Error(pb::Error),
}

// By hand, and without what they hold: that may be a secret.

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call({:?}, {} bytes)", self.context, self.request.len())
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({:?}, {:?})", self.call_id, self.result)
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok(answer) => write!(f, "Ok({} bytes)", answer.len()),
            Self::Error(error) => write!(f, "Error({error:?})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    /// That every call and reply of the contract has these fields is shown by `tests/plugin/contract.rs`.
    #[test]
    fn envelopes_hold_their_inner_messages_as_fields_of_type_message() {
        let context = pb::CallContext { call_id: "c".into(), ..Default::default() };
        let call = Call { context: Some(context), request: Bytes::from_static(&[8, 1]) };
        assert_eq!(call.encode_to_vec(), b"\x0a\x03\x0a\x01c\x12\x02\x08\x01");
        let ok = Outcome::Ok(Bytes::new());
        let reply = Reply { call_id: "c".into(), result: Some(ok) };
        assert_eq!(reply.encode_to_vec(), b"\x0a\x01c\x12\x00", "an empty message is there");
        assert_eq!(Reply::decode(&*reply.encode_to_vec()).unwrap(), reply);
        let error = pb::Error { kind: 3, ..Default::default() };
        let reply = Reply { call_id: "c".into(), result: Some(Outcome::Error(error)) };
        assert_eq!(reply.encode_to_vec(), b"\x0a\x01c\x1a\x02\x08\x03");
        assert_eq!(Reply::decode(&*reply.encode_to_vec()).unwrap(), reply);
    }
}
