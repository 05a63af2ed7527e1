//! The tape walk. Reads messages that the scanner cannot read from simd-json's tape: valid JSON with keys in any order
//! and any unknown keys.

use simd_json::Node;

use crate::model::{DataType, Format, Noun, Receipt, Sink};

use super::decoder::DecodeCounters;
use super::differences::Differences;
use super::error::{DecodeError, DecodeErrorKind};
use super::json::{Json, Members};
use super::message::{
    ErrorName, Message, OtherType, ServerError, Status, SubscriptionEntry, SubscriptionList, bounded,
};
use super::schema::{CODE, Field, Record, TYPE, find};
use super::scratch::Scratch;

/// Reads one message. The elements of a list are read and delivered one by one, even if others are refused. The result
/// for a list is the first refusal; without one, the first element that is not data; without one, the number of data
/// objects.
pub(super) fn walk_message(
    nodes: &[Node<'_>],
    scratch: &mut Scratch,
    counters: &mut DecodeCounters,
    receipt: Receipt,
    sink: &mut impl Sink,
) -> Result<Message, DecodeError> {
    let json = Json::new(nodes);
    let Some(elements) = json.elements() else {
        let result = walk_object(json, false, scratch, counters, receipt, sink);
        return result.inspect_err(|error| sink.refuse(receipt, error.stream));
    };
    let mut count = 0;
    let (mut refusal, mut other) = (None, None);
    for element in elements {
        match walk_object(element, true, scratch, counters, receipt, sink) {
            Ok(Message::Data { .. }) => count += 1,
            Ok(message) => other = other.or(Some(message)),
            Err(error) => {
                sink.refuse(receipt, error.stream);
                refusal = refusal.or(Some(error));
            }
        }
    }
    match (refusal, other) {
        (Some(error), _) => Err(error),
        (None, Some(message)) => Ok(message),
        (None, None) if count == 0 => {
            sink.refuse(receipt, None);
            Err(DecodeErrorKind::NotAMessage.into())
        }
        (None, None) => Ok(Message::Data { count }),
    }
}

/// Reads one object according to its type.
fn walk_object(
    json: Json<'_>,
    is_list: bool,
    scratch: &mut Scratch,
    counters: &mut DecodeCounters,
    receipt: Receipt,
    sink: &mut impl Sink,
) -> Result<Message, DecodeError> {
    let members = json.members().ok_or(DecodeErrorKind::NotAMessage)?;
    let Some((name, short)) = type_of(members.clone()) else { return control(json).map_err(DecodeError::from) };
    let name = name.as_str().ok_or(DecodeErrorKind::WrongType(TYPE.long))?;
    let Some(data_type) = DataType::from_name(name) else {
        counters.skipped += 1;
        return Ok(Message::Other(OtherType::from_name(name)));
    };
    let kind = data_type.kind();
    with_noun!(kind, T => walk_noun::<T>(members, data_type, Format::of(short, is_list), scratch))?;
    scratch.deliver(kind, receipt, sink);
    counters.delivered += 1;
    Ok(Message::Data { count: 1 })
}

/// Reads the fields of one type of message.
fn walk_noun<T: Noun + Record>(
    members: Members<'_>,
    data_type: DataType,
    format: Format,
    scratch: &mut Scratch,
) -> Result<(), DecodeError> {
    let Scratch { nouns, differences, .. } = scratch;
    let (record, short) = (T::place(nouns), format.is_short());
    record.set_data_type(data_type);
    let result = walk_record(members, record, short, differences);
    let has_code = differences.layout::<T>(short).progress.read & 1 << MARKET != 0;
    let (data_type, stream) = (record.data_type(), has_code.then(|| record.key()));
    if result.is_ok() {
        scratch.commit(data_type, format);
    }
    scratch.differences.reset();
    result.map_err(|kind| DecodeError { kind, stream })
}

/// The index of the market code in the tables of all data messages.
const MARKET: usize = 0;

/// Returns the value of the type, and whether the object has short keys. If a key is repeated, the last one counts. If
/// the object has both `type` and `ty`, one of them is a new field, and the key of the market code decides.
pub(super) fn type_of(members: Members<'_>) -> Option<(Json<'_>, bool)> {
    let last = |name| members.clone().filter(|(key, _)| *key == name).last().map(|(_, value)| value);
    match (last(TYPE.long), last(TYPE.short)) {
        (Some(_), Some(short)) if last(CODE.short).is_some() && last(CODE.long).is_none() => Some((short, true)),
        (Some(long), _) => Some((long, false)),
        (None, short) => short.map(|short| (short, true)),
    }
}

/// Reads an object into `record`.
fn walk_record<R: Record>(
    members: Members<'_>,
    record: &mut R,
    short: bool,
    differences: &mut Differences,
) -> Result<(), DecodeErrorKind> {
    walk_members(members.clone(), record, short, differences);
    let result = differences.finish(short, record);
    result.map_err(|index| error_of(members, &R::FIELDS[index], record, short, differences))
}

/// Reads the members of an object into `record`. If a key is repeated, the last one counts, whether it can be read or
/// not.
pub(super) fn walk_members<R: Record>(
    members: Members<'_>,
    record: &mut R,
    short: bool,
    differences: &mut Differences,
) {
    differences.odd::<R>(short).progress.passed = R::ALL;
    for (key, value) in members.clone() {
        match find::<R>(key, short) {
            // A clone's name for the field counts only if the exchange's name is not there.
            Some(index)
                if key_of(&R::FIELDS[index], short) == key || !has(members.clone(), &R::FIELDS[index], short) =>
            {
                let result = (R::FIELDS[index].walk)(value, record, short, differences);
                differences.put::<R>(short, index, result, || value.excerpt());
            }
            _ if key == if short { TYPE.short } else { TYPE.long } => {}
            _ => differences.note_unknown::<R>(short, key, || value.excerpt()),
        }
    }
}

fn key_of<R>(field: &Field<R>, short: bool) -> &'static str {
    if short { field.names.short } else { field.names.long }
}

/// Returns whether the field is there under the exchange's name.
fn has<R>(mut members: Members<'_>, field: &Field<R>, short: bool) -> bool {
    members.any(|(key, _)| key == key_of(field, short))
}

/// Returns the error of the field that is the reason for a refusal. Reads the field again to find it.
#[cold]
fn error_of<R: Record>(
    members: Members<'_>,
    field: &Field<R>,
    record: &mut R,
    short: bool,
    differences: &mut Differences,
) -> DecodeErrorKind {
    let name = key_of(field, short);
    let name = members.filter(|(key, _)| *key == name || short && field.also == Some(key)).last();
    match name.map(|(_, value)| (field.walk)(value, record, short, differences)) {
        None => DecodeErrorKind::MissingField(field.names.long),
        Some(Err(fault)) => fault.at(field.names.long),
        Some(Ok(())) => DecodeErrorKind::WrongType(field.names.long),
    }
}

/// Reads an object without a type: an error, a status or the answer to `LIST_SUBSCRIPTIONS`.
#[cold]
fn control(json: Json<'_>) -> Result<Message, DecodeErrorKind> {
    if let Some(error) = json.member("error") {
        return server_error(error).map(|error| Message::Error(Box::new(error)));
    }
    if let Some(status) = json.member("status") {
        let word = status.as_str().ok_or(DecodeErrorKind::WrongType("status"))?;
        return Ok(Message::Status(if word == "UP" { Status::Up } else { Status::Unknown }));
    }
    if json.member("method").or(json.member("mthd")).is_some() {
        return subscriptions(json).map(|list| Message::Subscriptions(Box::new(list)));
    }
    Err(DecodeErrorKind::NotAMessage)
}

/// Reads an error object. Accepts it without a name or a message, because the exchange is about to close the
/// connection.
fn server_error(json: Json<'_>) -> Result<ServerError, DecodeErrorKind> {
    json.members().ok_or(DecodeErrorKind::WrongType("error"))?;
    let text = |key| json.member(key).and_then(Json::as_str).unwrap_or_default();
    Ok(ServerError {
        name: ErrorName::from_name(text("name")),
        raw_name: bounded(text("name"), ServerError::NAME_MAX),
        message: bounded(text("message"), ServerError::MESSAGE_MAX),
    })
}

/// Maximum number of characters that are kept of a ticket, a type name or a code.
const LABEL_MAX: usize = 64;

fn subscriptions(json: Json<'_>) -> Result<SubscriptionList, DecodeErrorKind> {
    let (result, short) = match (json.member("result"), json.member("rslt")) {
        (Some(result), _) => (result, false),
        (None, Some(result)) => (result, true),
        (None, None) => return Err(DecodeErrorKind::MissingField("result")),
    };
    let entries = result.elements().ok_or(DecodeErrorKind::WrongType("result"))?;
    let ticket = json.member(if short { "tckt" } else { "ticket" }).and_then(Json::as_str).unwrap_or_default();
    Ok(SubscriptionList {
        ticket: bounded(ticket, LABEL_MAX),
        entries: entries.map(|entry| subscription(entry, short)).collect::<Result<_, _>>()?,
    })
}

fn subscription(json: Json<'_>, short: bool) -> Result<SubscriptionEntry, DecodeErrorKind> {
    let label = |json: Json<'_>| json.as_str().map(|text| bounded(text, LABEL_MAX));
    let [type_name, codes, level] = if short { ["ty", "cds", "lv"] } else { ["type", "codes", "level"] };
    let type_name = json.member(type_name).ok_or(DecodeErrorKind::MissingField(TYPE.long))?;
    let codes = match json.member(codes).filter(|codes| !codes.is_null()) {
        Some(codes) => codes.elements().and_then(|codes| codes.map(label).collect()),
        None => Some(Vec::new()),
    };
    Ok(SubscriptionEntry {
        type_name: label(type_name).ok_or(DecodeErrorKind::WrongType(TYPE.long))?,
        codes: codes.ok_or(DecodeErrorKind::WrongType("codes"))?,
        level: json.member(level).and_then(Json::as_f64),
    })
}
