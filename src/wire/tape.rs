//! The tape walk: the general reader. Reads simd-json's tape, accepts any key order and any unknown field, and makes
//! the final decision on what is valid.

use simd_json::Node;

use crate::model::{DataType, Noun, Placed, Receipt, Sink};

use super::decoder::DecodeCounters;
use super::error::DecodeError;
use super::json::{Json, Members};
use super::message::{
    ErrorName, Message, OtherType, ServerError, Status, SubscriptionEntry, SubscriptionList, bounded,
};
use super::schema::{Field, Names, Record, TYPE};
use super::scratch::Scratch;

/// The key set and the counters of the walk over one object.
pub(super) struct Walk {
    /// The object has short keys.
    pub(super) short: bool,
    pub(super) counters: DecodeCounters,
}

/// Reads one message. In a list, a bad element does not affect the others: they are delivered, and the first error is
/// returned. If there is no error, the first element that is not data becomes the result.
pub(super) fn walk_message(
    nodes: &[Node<'_>],
    scratch: &mut Scratch,
    counters: &mut DecodeCounters,
    receipt: Receipt,
    sink: &mut impl Sink,
) -> Result<Message, DecodeError> {
    let json = Json::new(nodes);
    let Some(elements) = json.elements() else { return walk_object(json, scratch, counters, receipt, sink) };
    let mut count = 0;
    let (mut refusal, mut other) = (None, None);
    for element in elements {
        match walk_object(element, scratch, counters, receipt, sink) {
            Ok(Message::Data { .. }) => count += 1,
            Ok(message) => other = other.or(Some(message)),
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    match (refusal, other) {
        (Some(error), _) => Err(error),
        (None, Some(message)) => Ok(message),
        (None, None) if count == 0 => Err(DecodeError::NotAMessage),
        (None, None) => Ok(Message::Data { count }),
    }
}

/// Reads one object according to its type.
fn walk_object(
    json: Json<'_>,
    scratch: &mut Scratch,
    counters: &mut DecodeCounters,
    receipt: Receipt,
    sink: &mut impl Sink,
) -> Result<Message, DecodeError> {
    let members = json.members().ok_or(DecodeError::NotAMessage)?;
    let Some((name, short)) = type_of(members.clone()) else { return control(json) };
    let name = name.as_str().ok_or(DecodeError::WrongType(TYPE.long))?;
    let Some(data_type) = DataType::from_name(name) else {
        counters.skipped += 1;
        return Ok(Message::Other(OtherType::from_name(name)));
    };
    let mut walk = Walk { short, counters: *counters };
    let kind = data_type.kind();
    let read = with_noun!(kind, T => {
        let record = T::place(&mut scratch.nouns);
        record.set_data_type(data_type);
        walk_record(members, record, &mut walk)
    });
    *counters = walk.counters;
    read?;
    scratch.deliver(kind, receipt, sink);
    counters.delivered += 1;
    Ok(Message::Data { count: 1 })
}

/// The market code, which all data objects have.
const CODE: Names = Names { long: "code", short: "cd" };

/// Returns the type's value, and whether the object has short keys. If a key is repeated, the last one counts. An
/// object with both keys of the type has a new field with one of the two names; it has short keys if its code does.
pub(super) fn type_of(members: Members<'_>) -> Option<(Json<'_>, bool)> {
    let last = |name| members.clone().filter(|(key, _)| *key == name).last().map(|(_, value)| value);
    match (last(TYPE.long), last(TYPE.short)) {
        (Some(_), Some(short)) if last(CODE.short).is_some() && last(CODE.long).is_none() => Some((short, true)),
        (Some(long), _) => Some((long, false)),
        (None, short) => short.map(|short| (short, true)),
    }
}

/// Reads an object into `record`. If a key is repeated, the last one counts, valid or not.
pub(super) fn walk_record<R: Record>(members: Members<'_>, record: &mut R, walk: &mut Walk) -> Result<(), DecodeError> {
    let (mut seen, mut bad) = (0u64, 0u64);
    let mut expected = 0;
    for (key, value) in members.clone() {
        let Some(index) = find::<R>(key, walk.short, expected) else {
            walk.counters.unknown_keys += u64::from(key != TYPE.long && key != TYPE.short);
            continue;
        };
        expected = index + 1;
        let bit = 1 << index;
        seen |= bit;
        match (R::FIELDS[index].read)(value, record, walk) {
            Ok(()) => bad &= !bit,
            Err(_) => bad |= bit,
        }
    }
    for (index, field) in R::FIELDS.iter().enumerate() {
        let bit = 1 << index;
        if bad & bit != 0 {
            return Err(error_of(members, field, record, walk.short));
        }
        if seen & bit == 0 && !(field.absent)(record) {
            read_other_name(members.clone(), field, record, walk)?;
        }
    }
    Ok(())
}

/// Reads a field that is missing under its own name from its other short name, if it has one.
#[cold]
fn read_other_name<R: Record>(
    members: Members<'_>,
    field: &Field<R>,
    record: &mut R,
    walk: &mut Walk,
) -> Result<(), DecodeError> {
    let value = field.also.filter(|_| walk.short).and_then(|name| members.filter(|(key, _)| *key == name).last());
    let (_, value) = value.ok_or(DecodeError::MissingField(field.names.long))?;
    (field.read)(value, record, walk).map_err(|fault| fault.at(field.names.long))
}

/// Returns the index of the field `key`. Tries `expected` first, because keys are mostly in the table's order.
fn find<R: Record>(key: &str, short: bool, expected: usize) -> Option<usize> {
    let is = |field: &Field<R>| key == if short { field.names.short } else { field.names.long };
    if R::FIELDS.get(expected).is_some_and(is) {
        return Some(expected);
    }
    R::FIELDS.iter().position(is)
}

/// Reads the bad field again to get its error.
#[cold]
fn error_of<R: Record>(members: Members<'_>, field: &Field<R>, record: &mut R, short: bool) -> DecodeError {
    let name = if short { field.names.short } else { field.names.long };
    let mut walk = Walk { short, counters: DecodeCounters::default() };
    let last = members.filter(|(key, _)| *key == name).last();
    match last.map(|(_, value)| (field.read)(value, record, &mut walk)) {
        Some(Err(fault)) => fault.at(field.names.long),
        _ => DecodeError::WrongType(field.names.long),
    }
}

/// Reads an object without a type: an error, a status or the answer to `LIST_SUBSCRIPTIONS`.
#[cold]
fn control(json: Json<'_>) -> Result<Message, DecodeError> {
    if let Some(error) = json.member("error") {
        return server_error(error).map(|error| Message::Error(Box::new(error)));
    }
    if let Some(status) = json.member("status") {
        let word = status.as_str().ok_or(DecodeError::WrongType("status"))?;
        return Ok(Message::Status(if word == "UP" { Status::Up } else { Status::Unknown }));
    }
    if json.member("method").or(json.member("mthd")).is_some() {
        return subscriptions(json).map(|list| Message::Subscriptions(Box::new(list)));
    }
    Err(DecodeError::NotAMessage)
}

/// Reads an error object. Accepts one without a name or a message, because the exchange closes the connection anyway.
fn server_error(json: Json<'_>) -> Result<ServerError, DecodeError> {
    json.members().ok_or(DecodeError::WrongType("error"))?;
    let text = |key| json.member(key).and_then(Json::as_str).unwrap_or_default();
    Ok(ServerError {
        name: ErrorName::from_name(text("name")),
        raw_name: bounded(text("name"), ServerError::NAME_MAX),
        message: bounded(text("message"), ServerError::MESSAGE_MAX),
    })
}

/// The maximum number of characters to keep of a ticket, a type name or a code.
const LABEL_MAX: usize = 64;

fn subscriptions(json: Json<'_>) -> Result<SubscriptionList, DecodeError> {
    let (result, short) = match (json.member("result"), json.member("rslt")) {
        (Some(result), _) => (result, false),
        (None, Some(result)) => (result, true),
        (None, None) => return Err(DecodeError::MissingField("result")),
    };
    let entries = result.elements().ok_or(DecodeError::WrongType("result"))?;
    let ticket = json.member(if short { "tckt" } else { "ticket" }).and_then(Json::as_str).unwrap_or_default();
    Ok(SubscriptionList {
        ticket: bounded(ticket, LABEL_MAX),
        entries: entries.map(|entry| subscription(entry, short)).collect::<Result<_, _>>()?,
    })
}

fn subscription(json: Json<'_>, short: bool) -> Result<SubscriptionEntry, DecodeError> {
    let label = |json: Json<'_>| json.as_str().map(|text| bounded(text, LABEL_MAX));
    let [type_name, codes, level] = if short { ["ty", "cds", "lv"] } else { ["type", "codes", "level"] };
    let type_name = json.member(type_name).ok_or(DecodeError::MissingField(TYPE.long))?;
    let codes = match json.member(codes).filter(|codes| !codes.is_null()) {
        Some(codes) => codes.elements().and_then(|codes| codes.map(label).collect()),
        None => Some(Vec::new()),
    };
    Ok(SubscriptionEntry {
        type_name: label(type_name).ok_or(DecodeError::WrongType(TYPE.long))?,
        codes: codes.ok_or(DecodeError::WrongType("codes"))?,
        level: json.member(level).and_then(Json::as_f64),
    })
}
