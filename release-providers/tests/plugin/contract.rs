//! The contract never changes, it grows: every message, field, value and method that was published is still there.

use std::collections::BTreeSet;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};

const COMPILED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/plugin-contract.binpb"));
const ANSWERS: &str = include_str!("../../proto/answers-v1.txt");
const PUBLISHED: &str = include_str!("../../proto/contract-v1.txt");

fn messages(lines: &mut BTreeSet<String>, package: &str, messages: &[DescriptorProto]) {
    for message in messages {
        let name = format!("{package}.{}", message.name());
        lines.insert(format!("message {name}"));
        for field in &message.field {
            lines.insert(format!("field {name} {}", describe(field, message)));
        }
        enums(lines, &name, &message.enum_type);
        self::messages(lines, &name, &message.nested_type);
    }
}

fn describe(field: &FieldDescriptorProto, message: &DescriptorProto) -> String {
    let label = match field.label() {
        Label::Repeated => "repeated ",
        Label::Optional | Label::Required if field.proto3_optional() => "optional ",
        Label::Optional | Label::Required => "",
    };
    let kind = match field.r#type() {
        Type::Message | Type::Enum => field.type_name().trim_start_matches('.').to_owned(),
        other => other.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    };
    let oneof = field.oneof_index.filter(|_| !field.proto3_optional());
    let oneof = oneof.and_then(|index| message.oneof_decl.get(usize::try_from(index).unwrap()));
    let within = oneof.map(|oneof| format!(" in {}", oneof.name())).unwrap_or_default();
    format!("{} {label}{kind} {}{within}", field.number(), field.name())
}

fn enums(lines: &mut BTreeSet<String>, package: &str, enums: &[EnumDescriptorProto]) {
    for value in enums.iter().flat_map(|e| e.value.iter().map(move |v| (e.name(), v))) {
        lines.insert(format!(
            "value {package}.{} {} {}",
            value.0,
            value.1.number(),
            value.1.name()
        ));
    }
}

fn compiled() -> BTreeSet<String> {
    let set: FileDescriptorSet = FileDescriptorSet::decode(COMPILED).unwrap();
    let mut lines = BTreeSet::new();
    for file in &set.file {
        messages(&mut lines, file.package(), &file.message_type);
        enums(&mut lines, file.package(), &file.enum_type);
        for service in &file.service {
            for method in &service.method {
                let short = |name: &str| name.rsplit('.').next().unwrap().to_owned();
                lines.insert(format!(
                    "rpc {}.{}/{} {} {}",
                    file.package(),
                    service.name(),
                    method.name(),
                    short(method.input_type()),
                    short(method.output_type()),
                ));
            }
        }
    }
    lines
}

#[test]
fn what_is_published_stays() {
    let published: BTreeSet<String> = PUBLISHED.lines().map(str::to_owned).collect();
    let compiled = compiled();
    let missing: Vec<_> = published.difference(&compiled).cloned().collect();
    assert!(
        missing.is_empty(),
        "these were published, and are gone or another; put them back, and add beside them:\n{}",
        missing.join("\n")
    );
    let new: Vec<_> = compiled.difference(&published).cloned().collect();
    assert!(
        new.is_empty(),
        "these are new; once they are as they shall stay, add them to proto/contract-v1.txt:\n{}",
        new.join("\n")
    );
    assert!(published.len() > 600, "{}", published.len());
}

/// What a host can only take if it knows it: values of enums in answers, and the ways of a choice. Those that are reached
/// from a reply, or from the errors in it.
fn choices_in_answers(compiled: &BTreeSet<String>) -> BTreeSet<String> {
    let mut todo: Vec<String> = compiled
        .iter()
        .filter_map(|line| line.strip_prefix("message "))
        .filter(|name| name.ends_with("Reply"))
        .map(str::to_owned)
        .collect();
    let (mut seen, mut choices) = (BTreeSet::new(), BTreeSet::new());
    while let Some(name) = todo.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        let (field, value) = (format!("field {name} "), format!("value {name} "));
        for line in compiled {
            // That a reply is a result or an error is the envelope, and every new method has one.
            let choice =
                line.starts_with(&field) && line.contains(" in ") && !name.ends_with("Reply");
            if line.starts_with(&value) || choice {
                choices.insert(line.clone());
            }
            if let Some(rest) = line.strip_prefix(&field) {
                let of_ours = rest.split(' ').find(|word| word.starts_with("release.plugin.v1."));
                todo.extend(of_ours.filter(|name| !seen.contains(*name)).map(str::to_owned));
            }
        }
    }
    choices
}

/// Choices that came later and answer nothing but requests that came with them: hosts that do not know these never ask for
/// them, and a plugin of theirs never answers so.
const ANSWERS_TO_LATER_REQUESTS: [&str; 3] = [
    "field release.plugin.v1.Measurement 3 release.plugin.v1.Measurement.Histogram histogram in measurement", // Quantile
    "field release.plugin.v1.Measurement 4 release.plugin.v1.Measurement.Value value in measurement", // Query
    "field release.plugin.v1.Measurement 5 release.plugin.v1.Measurement.Points points in measurement", // Range
];

#[test]
fn answers_do_not_grow_by_what_older_hosts_refuse() {
    let later = ANSWERS_TO_LATER_REQUESTS.iter().copied();
    let frozen: BTreeSet<String> = ANSWERS.lines().chain(later).map(str::to_owned).collect();
    let now = choices_in_answers(&compiled());
    let type_of = |line: &String| line.split(' ').nth(1).map(str::to_owned);
    let types: BTreeSet<_> = frozen.iter().filter_map(type_of).collect();
    let is_out = |line: &&String| type_of(line).is_some_and(|name| types.contains(&name));
    let (new, of_new): (Vec<_>, Vec<_>) = now.difference(&frozen).partition(is_out);
    let lines = |lines: Vec<&String>| lines.into_iter().cloned().collect::<Vec<_>>().join("\n");
    assert!(of_new.is_empty(), "add these to proto/answers-v1.txt:\n{}", lines(of_new));
    assert!(
        new.is_empty(),
        "hosts that are out take these for answers that break the contract; say it with a new field, or in the next \
         version of the protocol:\n{}",
        lines(new)
    );
    let gone: Vec<_> = frozen.difference(&now).cloned().collect();
    assert!(gone.is_empty(), "these were published, and are gone:\n{}", gone.join("\n"));
    assert!(frozen.len() > 50, "{}", frozen.len());
}

macro_rules! methods {
    ($( $trait:ident $op:ident $call:ident $capability:literal {
        $( $operation:ident $variant:ident $kind:ident ($request:ty) -> ($answer:ty); )*
    } )*) => {
        [$($(
            (concat!(stringify!($trait), "/", stringify!($variant)), stringify!($request), stringify!($answer)),
        )*)*]
    };
}

/// Every operation of every trait is a method, with the messages that are called as its types are; and no other is.
#[test]
fn the_contract_has_every_capability() {
    let name = |path: &str| {
        let name: String =
            path.rsplit(':').next().unwrap().chars().filter(|c| c.is_alphanumeric()).collect();
        if name.is_empty() { "Done".to_owned() } else { name }
    };
    let compiled = compiled();
    let mut methods = BTreeSet::new();
    for (method, request, answer) in release_providers::for_each_capability!(methods) {
        let message = method.replace('/', "");
        methods.insert(format!("rpc release.plugin.v1.{method} {message}Call {message}Reply"));
        for field in [
            format!("{message}Call 2 release.plugin.v1.{} request", name(request)),
            format!("{message}Reply 2 release.plugin.v1.{} ok in result", name(answer)),
        ] {
            let line = format!("field release.plugin.v1.{field}");
            assert!(compiled.contains(&line), "{line}");
        }
    }
    let ours = |line: &&String| line.starts_with("rpc ") && !line.contains(".Plugin/");
    assert_eq!(compiled.iter().filter(ours).cloned().collect::<BTreeSet<_>>(), methods);
}

/// The host and the server go through the same two envelopes for all methods, so all have the same shape.
#[test]
fn every_call_and_reply_of_a_capability_is_an_envelope() {
    let compiled = compiled();
    let rpcs = compiled.iter().filter_map(|line| line.strip_prefix("rpc release.plugin.v1."));
    let mut seen = 0;
    for rpc in rpcs.filter(|rpc| !rpc.starts_with("Plugin/")) {
        let words: Vec<&str> = rpc.split(' ').collect();
        let [path, call, reply] = words[..] else { panic!("{rpc}") };
        let name = path.replace('/', "");
        assert_eq!((call, reply), (&*format!("{name}Call"), &*format!("{name}Reply")), "{rpc}");
        let fields = |message: &str| {
            let start = format!("field release.plugin.v1.{message} ");
            let fields = compiled.iter().filter_map(|line| line.strip_prefix(&start));
            fields.map(str::to_owned).collect::<Vec<_>>()
        };
        let call = fields(call);
        assert!(
            call.len() == 2 && call[0] == "1 release.plugin.v1.CallContext context",
            "{call:?}"
        );
        assert!(
            call[1].starts_with("2 release.plugin.v1.") && call[1].ends_with(" request"),
            "{call:?}"
        );
        let reply = fields(reply);
        assert!(reply.len() == 3 && reply[0] == "1 string call_id", "{reply:?}");
        assert!(reply[1].starts_with("2 ") && reply[1].ends_with(" ok in result"), "{reply:?}");
        assert_eq!(reply[2], "3 release.plugin.v1.Error error in result");
        seen += 1;
    }
    assert!(seen >= 56, "{seen}");
}
