//! What becomes of a message that differs from the documented form: which fields read otherwise than in the documented
//! message.

use std::fmt::{self, Write};

use hoga::model::{Noun, Receipt, Sink};
use hoga::wire::Decoder;

use super::super::rows::RECEIPT;

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Refused(String),
    /// Delivered, with these fields absent, unknown or with another value.
    Delivered {
        absent: Vec<String>,
        unknown: Vec<String>,
        other: Vec<String>,
    },
}

/// Reads a message, and compares it with the documented one.
pub fn outcome(documented: &str, drifted: &str) -> Outcome {
    let (before, after) = (read(documented).expect("a documented message"), read(drifted));
    let after = match after {
        Ok(after) => after,
        Err(why) => return Outcome::Refused(why),
    };
    let (mut absent, mut unknown, mut other) = (Vec::new(), Vec::new(), Vec::new());
    for ((name, before), (_, after)) in before.into_iter().zip(after) {
        let fields = match after.as_str() {
            _ if before == after => continue,
            "None" => &mut absent,
            _ if after.contains("Unknown") => &mut unknown,
            _ => &mut other,
        };
        fields.push(name);
    }
    Outcome::Delivered { absent, unknown, other }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::Delivered { absent, unknown, other } => {
                f.write_str("delivered")?;
                for (what, names) in [("absent", absent), ("unknown", unknown), ("another value", other)] {
                    if !names.is_empty() {
                        write!(f, "; {what}: {}", names.join(", "))?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// Reads a message with a new decoder, and returns its fields as the consumer sees them.
fn read(message: &str) -> Result<Vec<(String, String)>, String> {
    let mut shown = Shown::default();
    let result = Decoder::new().decode(message.as_bytes(), message.len(), RECEIPT, &mut shown);
    match result {
        Ok(_) if shown.0.is_empty() => Err("nothing was delivered".to_owned()),
        Ok(_) => Ok(fields(&shown.0)),
        Err(error) => Err(error.kind.to_string()),
    }
}

/// The delivered message, as `Debug` prints it.
#[derive(Default)]
struct Shown(String);

impl Sink for Shown {
    fn deliver<T: Noun>(&mut self, _: Receipt, message: &T) {
        write!(self.0, "{message:?}").expect("a string has room");
    }
}

/// Splits what `Debug` prints for a struct into names and values.
fn fields(shown: &str) -> Vec<(String, String)> {
    let inside = shown.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).expect("a struct").0;
    let (mut fields, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, byte) in inside.bytes().chain([b',']).enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth -= 1,
            b',' if depth == 0 => {
                let (name, value) = inside[start..at].split_once(':').expect("a name and a value");
                fields.push((name.trim().to_owned(), value.trim().to_owned()));
                start = at + 1;
            }
            _ => {}
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_struct_is_split_into_its_fields() {
        let expected = [("a", "Some([1, 2])"), ("b", "X { c: 1, d: 2 }"), ("e", "None")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(fields("T { a: Some([1, 2]), b: X { c: 1, d: 2 }, e: None }"), expected);
    }
}
