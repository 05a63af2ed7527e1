//! A writer of JSON objects, one per line. Callers choose the fields.

use std::fmt::{Display, Write};

/// Appends a JSON object field by field. Writing to a `String` cannot fail.
pub struct Object<'a> {
    out: &'a mut String,
    is_empty: bool,
}

impl<'a> Object<'a> {
    /// Writes an object and the end of its line.
    pub fn line(out: &'a mut String, fields: impl FnOnce(&mut Object)) {
        Self::write(out, fields);
        out.push('\n');
    }

    fn write(out: &mut String, fields: impl FnOnce(&mut Object)) {
        out.push('{');
        fields(&mut Object { out, is_empty: true });
        out.push('}');
    }

    /// Writes a value whose `Display` text is JSON: an integer, `true`, `null`. A finite `f64` is written as its
    /// shortest text.
    pub fn plain(&mut self, key: &str, value: impl Display) -> &mut Self {
        self.key(key);
        let _ = write!(self.out, "{value}");
        self
    }

    /// Same as [`plain`](Self::plain), but writes no field for `None`.
    pub fn optional(&mut self, key: &str, value: Option<impl Display>) -> &mut Self {
        if let Some(value) = value {
            self.plain(key, value);
        }
        self
    }

    /// Writes a text that needs no escaping: a word of this program, a market, a date.
    pub fn word(&mut self, key: &str, value: impl Display) -> &mut Self {
        self.key(key);
        let _ = write!(self.out, "\"{value}\"");
        self
    }

    /// Same as [`word`](Self::word), but writes no field for `None`.
    pub fn optional_word(&mut self, key: &str, value: Option<impl Display>) -> &mut Self {
        if let Some(value) = value {
            self.word(key, value);
        }
        self
    }

    /// Writes any text, escaped.
    pub fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.key(key);
        self.out.push_str(&serde_json::Value::from(value).to_string());
        self
    }

    /// Writes a nested object.
    pub fn object(&mut self, key: &str, fields: impl FnOnce(&mut Object)) -> &mut Self {
        self.key(key);
        Self::write(self.out, fields);
        self
    }

    /// Writes a list of objects.
    pub fn objects<T>(
        &mut self,
        key: &str,
        items: impl Iterator<Item = T>,
        fields: impl Fn(&mut Object, T),
    ) -> &mut Self {
        self.list(key, items, |out, item| Self::write(out, |object| fields(object, item)))
    }

    /// Writes a list of texts that need no escaping.
    pub fn words(&mut self, key: &str, items: impl Iterator<Item: Display>) -> &mut Self {
        self.list(key, items, |out, item| {
            let _ = write!(out, "\"{item}\"");
        })
    }

    fn list<T>(&mut self, key: &str, items: impl Iterator<Item = T>, write: impl Fn(&mut String, T)) -> &mut Self {
        self.key(key);
        self.out.push('[');
        for (index, item) in items.enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            write(self.out, item);
        }
        self.out.push(']');
        self
    }

    fn key(&mut self, key: &str) {
        if !std::mem::take(&mut self.is_empty) {
            self.out.push(',');
        }
        let _ = write!(self.out, "\"{key}\":");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_separates_fields_and_escapes_foreign_text() {
        let mut out = String::new();
        Object::line(&mut out, |object| {
            object.word("_event", "state").text("message", "a \"b\"\n").optional("none", None::<u8>);
            object.objects("units", [1, 2].into_iter(), |object, n| {
                object.plain("n", n);
            });
            object.words("silent", ["x", "y"].into_iter()).object("_hoga", |object| {
                object.plain("conn", 0);
            });
        });
        let expected = r#"{"_event":"state","message":"a \"b\"\n","units":[{"n":1},{"n":2}],"silent":["x","y"],"_hoga":{"conn":0}}"#;
        assert_eq!(out, format!("{expected}\n"));
    }

    #[test]
    fn numbers_print_as_their_shortest_text_without_an_exponent() {
        let mut out = String::new();
        Object::line(&mut out, |object| {
            object.plain("a", 1.16539E8).plain("b", 9.9E-7).plain("c", 0.1 + 0.2);
        });
        assert_eq!(out, "{\"a\":116539000,\"b\":0.00000099,\"c\":0.30000000000000004}\n");
    }
}
