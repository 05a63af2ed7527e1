//! A few lines on a terminal that are redrawn in place. Restores the cursor when it is dropped, even during a panic.

use std::fmt::Write as _;
use std::io::{self, StdoutLock, Write};

use terminal_size::{Height, Width, terminal_size_of};

const HIDE_CURSOR: &str = "\x1b[?25l";
/// The escape sequence that makes the cursor visible again.
pub const SHOW_CURSOR: &str = "\x1b[?25h";
const CLEAR_TO_END_OF_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

/// The part of the terminal that is drawn on. It begins where the cursor was.
pub struct Screen {
    out: StdoutLock<'static>,
    /// The number of lines drawn last; the cursor is below them.
    drawn: usize,
}

impl Screen {
    /// Hides the cursor and starts to draw at its line.
    pub fn open() -> io::Result<Self> {
        let mut screen = Self { out: io::stdout().lock(), drawn: 0 };
        screen.out.write_all(HIDE_CURSOR.as_bytes())?;
        Ok(screen)
    }

    /// Returns the current number of columns and lines. The user may change them at any time.
    pub fn size(&self) -> (usize, usize) {
        terminal_size_of(&self.out).map_or((80, 24), |(Width(w), Height(h))| (usize::from(w), usize::from(h)))
    }

    /// Replaces the lines drawn before, in one write, so that they do not flicker. Lines are cut to the width.
    pub fn draw(&mut self, lines: &[String]) -> io::Result<()> {
        let (width, height) = self.size();
        let mut text = String::new();
        if self.drawn > 0 {
            let _ = write!(text, "\x1b[{}A\r", self.drawn);
        }
        // The last line of the terminal is kept for the cursor.
        let lines = &lines[..lines.len().min(height.saturating_sub(1))];
        for line in lines {
            text.extend(line.chars().take(width));
            text.push_str(CLEAR_TO_END_OF_LINE);
            text.push('\n');
        }
        text.push_str(CLEAR_BELOW);
        self.drawn = lines.len();
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.out.write_all(SHOW_CURSOR.as_bytes());
        let _ = self.out.flush();
    }
}
