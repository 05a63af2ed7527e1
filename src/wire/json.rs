//! One JSON value on simd-json's tape. Skipping a value takes the same time for any size and depth.

use simd_json::{Node, StaticNode};

use super::drift::Excerpt;
use super::loose::Loose;

/// A value: its node and, for lists and objects, the nodes inside it.
#[derive(Clone, Copy)]
pub(super) struct Json<'t> {
    nodes: &'t [Node<'t>],
}

/// The values of a list.
#[derive(Clone)]
pub(super) struct Elements<'t> {
    nodes: &'t [Node<'t>],
}

/// The keys and values of an object, in order, duplicates included.
#[derive(Clone, Default)]
pub(super) struct Members<'t> {
    nodes: &'t [Node<'t>],
}

impl<'t> Json<'t> {
    /// Returns the first value on a tape.
    pub(super) fn new(nodes: &'t [Node<'t>]) -> Self {
        Self { nodes }
    }

    pub(super) fn is_null(self) -> bool {
        matches!(self.nodes.first(), Some(Node::Static(StaticNode::Null)))
    }

    pub(super) fn as_str(self) -> Option<&'t str> {
        match self.nodes.first() {
            Some(Node::String(text)) => Some(text),
            _ => None,
        }
    }

    /// Returns a number as an `f64`: finite, correctly rounded and never a negative zero.
    pub(super) fn as_f64(self) -> Option<f64> {
        let value = match self.nodes.first() {
            Some(Node::Static(StaticNode::F64(value))) => *value,
            Some(Node::Static(StaticNode::U64(value))) => *value as f64,
            Some(Node::Static(StaticNode::I64(value))) => *value as f64,
            _ => return None,
        };
        value.is_finite().then_some(value + 0.0) // + 0.0 makes a negative zero positive
    }

    /// Converts the value, of any type.
    pub(super) fn loose(self) -> Loose<'t> {
        match self.nodes.first() {
            Some(Node::Static(StaticNode::Null)) => Loose::Null,
            Some(Node::Static(StaticNode::Bool(value))) => Loose::Bool(*value),
            Some(Node::Static(StaticNode::U64(value))) => Loose::Number { float: *value as f64, whole: Some(*value) },
            Some(Node::String(text)) => Loose::Text(text),
            Some(Node::Object { .. }) => self.date_parts().map_or(Loose::Other, Loose::DateParts),
            _ => self.as_f64().map_or(Loose::Other, |float| Loose::Number { float, whole: None }),
        }
    }

    fn date_parts(self) -> Option<[u64; 3]> {
        let part = |name| match self.member(name)?.loose() {
            Loose::Number { whole, .. } => whole,
            _ => None,
        };
        Some([part("year")?, part("month")?, part("day")?])
    }

    /// Returns the beginning of the value's text. Numbers may be spelled differently from the message, and lists and
    /// objects are abbreviated, because the tape does not keep the text.
    pub(super) fn excerpt(self) -> Excerpt {
        match self.loose() {
            Loose::Null => Excerpt::new(b"null"),
            Loose::Bool(value) => Excerpt::number(value),
            Loose::Number { whole: Some(whole), .. } => Excerpt::number(whole),
            Loose::Number { float, .. } => Excerpt::number(float),
            Loose::Text(text) => Excerpt::quoted(text),
            _ if self.elements().is_some() => Excerpt::new(b"[..]"),
            _ => Excerpt::new(b"{..}"),
        }
    }

    pub(super) fn elements(self) -> Option<Elements<'t>> {
        match self.nodes.first() {
            Some(Node::Array { count, .. }) => Some(Elements { nodes: self.nodes.get(1..=*count)? }),
            _ => None,
        }
    }

    pub(super) fn members(self) -> Option<Members<'t>> {
        match self.nodes.first() {
            Some(Node::Object { count, .. }) => Some(Members { nodes: self.nodes.get(1..=*count)? }),
            _ => None,
        }
    }

    /// Returns the value of the key `name`. If the key is repeated, the last one counts.
    pub(super) fn member(self, name: &str) -> Option<Json<'t>> {
        self.members()?.filter(|(key, _)| *key == name).last().map(|(_, value)| value)
    }
}

impl Elements<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}

impl<'t> Iterator for Elements<'t> {
    type Item = Json<'t>;
    fn next(&mut self) -> Option<Json<'t>> {
        split_value(&mut self.nodes)
    }
}

impl<'t> Iterator for Members<'t> {
    type Item = (&'t str, Json<'t>);
    fn next(&mut self) -> Option<Self::Item> {
        let (Node::String(key), rest) = self.nodes.split_first()? else { return None };
        self.nodes = rest;
        Some((key, split_value(&mut self.nodes)?))
    }
}

/// Removes the first value from `nodes` and returns it.
fn split_value<'t>(nodes: &mut &'t [Node<'t>]) -> Option<Json<'t>> {
    let inside = match nodes.first()? {
        Node::Object { count, .. } | Node::Array { count, .. } => *count,
        _ => 0,
    };
    let (value, rest) = nodes.split_at_checked(inside + 1)?;
    *nodes = rest;
    Some(Json { nodes: value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simd_json_rounds_numbers_as_std_does() {
        let mut seed = 7u64;
        let mut random = move |end: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % end
        };
        for _ in 0..1000 {
            let numbers: Vec<String> = (0..1000)
                .map(|_| {
                    let sign = if random(8) == 0 { "-" } else { "" };
                    let whole: String = (0..random(30)).map(|_| char::from(b'0' + random(10) as u8)).collect();
                    let fraction: String = (0..1 + random(30)).map(|_| char::from(b'0' + random(10) as u8)).collect();
                    let fraction = if random(4) == 0 { String::new() } else { format!(".{fraction}") };
                    let power = if random(4) == 0 { format!("E{}", random(560) as i64 - 300) } else { String::new() };
                    format!("{sign}1{whole}{fraction}{power}")
                })
                .collect();
            let mut text = format!("[{}]", numbers.join(",")).into_bytes();
            let tape = simd_json::to_tape(&mut text).unwrap();
            for (number, json) in numbers.iter().zip(Json::new(&tape.0).elements().unwrap()) {
                let expected = number.parse::<f64>().unwrap() + 0.0;
                assert_eq!(json.as_f64().map(f64::to_bits), Some(expected.to_bits()), "{number}");
            }
        }
    }
}
