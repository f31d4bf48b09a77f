//! The one way to stdout and stderr.

use std::{
    fmt::Display,
    io::{self, BufWriter, IsTerminal, Write},
};

use serde::Serialize;
use worker_runtime_core::{Clock, Code, SystemClock, store::Gap};

use super::{Table, TimePrinter, summary::gap_text};
use crate::{
    args::{Format, Global, TimeStyle},
    error::{CliError, Failure},
    exit::Exit,
    suggest::Suggestion,
};

/// Prints data to stdout and words to stderr.
pub(crate) struct Printer {
    out: BufWriter<io::Stdout>,
    format: Format,
    /// Whether a person sees stdout.
    out_is_terminal: bool,
    /// Whether words may be coloured.
    colour: bool,
    time: TimePrinter,
    /// What of the command line must be typed again, for what is suggested.
    same_place: Vec<String>,
}

/// What a word on stderr is. Colour only underlines what the word itself says.
#[derive(Clone, Copy)]
enum Tone {
    Good,
    Bad,
    Careful,
    Help,
}

impl Tone {
    const fn start(self) -> &'static str {
        match self {
            Self::Good => "\u{1b}[32m",
            Self::Bad => "\u{1b}[31m",
            Self::Careful => "\u{1b}[33m",
            Self::Help => "\u{1b}[36m",
        }
    }
}

#[derive(Serialize)]
struct ErrorObject<'a> {
    code: Code,
    message: &'a str,
    hint: Option<String>,
}

impl Printer {
    pub(crate) fn new(global: &Global) -> Self {
        let out_is_terminal = io::stdout().is_terminal();
        let style = global.time.unwrap_or(if out_is_terminal {
            TimeStyle::Relative
        } else {
            TimeStyle::Iso
        });
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            out: BufWriter::new(io::stdout()),
            format: global.output,
            out_is_terminal,
            colour: io::stderr().is_terminal() && !no_colour,
            time: TimePrinter::new(style, SystemClock::default().now()),
            same_place: global.same_place(),
        }
    }

    pub(crate) const fn format(&self) -> Format {
        self.format
    }

    pub(crate) const fn out_is_terminal(&self) -> bool {
        self.out_is_terminal
    }

    pub(crate) const fn time(&self) -> &TimePrinter {
        &self.time
    }

    /// One line of data.
    ///
    /// # Errors
    /// When nobody reads it any more, or it can't be written.
    pub(crate) fn line(&mut self, line: impl Display) -> Result<(), Failure> {
        writeln!(self.out, "{line}").map_err(|error| Failure::of_output(&error))
    }

    /// Data as it is.
    ///
    /// # Errors
    /// As [`line`](Self::line).
    pub(crate) fn raw(&mut self, text: &str) -> Result<(), Failure> {
        self.out
            .write_all(text.as_bytes())
            .map_err(|error| Failure::of_output(&error))
    }

    /// One JSON value: over many lines as a document, on one as part of a stream.
    ///
    /// # Errors
    /// As [`line`](Self::line).
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = match self.format {
            Format::Jsonl => serde_json::to_string(value),
            _ => serde_json::to_string_pretty(value),
        };
        let text = text.map_err(|error| {
            CliError::new(
                Code::Bug,
                format!("a bug: output can't be written as JSON: {error}"),
            )
        })?;
        self.line(text)
    }

    /// A table; the formats that are no table are for the caller.
    ///
    /// # Errors
    /// As [`line`](Self::line).
    pub(crate) fn table(&mut self, table: &Table) -> Result<(), Failure> {
        table
            .lines()
            .into_iter()
            .try_for_each(|line| self.line(line))
    }

    /// Everything printed so far is with its reader.
    ///
    /// # Errors
    /// As [`line`](Self::line).
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(|error| Failure::of_output(&error))
    }

    /// Words for people, on stderr; a program that reads JSON is not told them.
    pub(crate) fn words(&self, text: impl Display) {
        if !self.format.is_json() {
            write_words(&format!("{text}\n"));
        }
    }

    /// That something went well.
    pub(crate) fn good(&self, word: &str, text: impl Display) {
        self.words(format_args!("{} {text}", self.toned(Tone::Good, word)));
    }

    /// That something did not go well, and is no error of the program.
    pub(crate) fn bad(&self, word: &str, text: impl Display) {
        self.words(format_args!("{} {text}", self.toned(Tone::Bad, word)));
    }

    /// Something that a user should know, whatever the format.
    pub(crate) fn warn(&self, text: impl Display) {
        write_words(&format!(
            "{}: {text}\n",
            self.toned(Tone::Careful, "warning")
        ));
    }

    /// A warning with a code, whatever the format.
    pub(crate) fn warn_code(&self, code: Code, text: impl Display) {
        let word = self.toned(Tone::Careful, &format!("warning[{code}]"));
        let text = super::shown(&text.to_string());
        write_words(&format!("{word}: {text}\n"));
    }

    /// That part of a stream is missing: by its code, if it has one.
    pub(crate) fn warn_gap(&self, gap: &Gap) {
        match gap.code {
            Some(code) => self.warn_code(code, gap_text(gap)),
            None => self.warn(gap_text(gap)),
        }
    }

    /// What to type next, and why.
    pub(crate) fn next(&self, why: impl Display, suggestions: &[Suggestion]) {
        self.words(format_args!("{}: {why}", self.toned(Tone::Help, "next")));
        for suggestion in suggestions {
            self.words(format_args!("  {}", self.command(suggestion)));
        }
    }

    /// What to type next.
    pub(crate) fn hint(&self, suggestion: &Suggestion) {
        self.hint_line(&self.command(suggestion));
    }

    /// What to type next, in the core's own words, which know no place.
    pub(crate) fn hint_command(&self, command: &str) {
        match command.strip_prefix("worker-runtime ") {
            Some(rest) if !self.same_place.is_empty() => {
                let same_place = crate::shell::join(self.same_place.iter().map(String::as_str));
                self.hint_line(&format!("worker-runtime {same_place} {rest}"));
            }
            _ => self.hint_line(command),
        }
    }

    fn hint_line(&self, command: &str) {
        self.words(format_args!(
            "{}: {command}",
            self.toned(Tone::Help, "hint")
        ));
    }

    /// A suggestion as it is to be typed.
    pub(crate) fn command(&self, suggestion: &Suggestion) -> String {
        suggestion.line(&self.same_place)
    }

    /// Tells a failure, and gives what the program ends with.
    pub(crate) fn fail(&mut self, failure: &Failure) -> Exit {
        let error = match failure {
            // As ripgrep does: `| head` is a use, not an error.
            Failure::ClosedPipe => return Exit::Done,
            Failure::Error(error) => error,
        };
        if matches!(self.flush(), Err(Failure::ClosedPipe)) {
            return Exit::Done;
        }
        if self.format.is_json() {
            let object = ErrorObject {
                code: error.code,
                message: &error.message,
                hint: error.hints.first().map(|hint| self.command(hint)),
            };
            if let Ok(text) = serde_json::to_string(&object) {
                write_words(&format!("{text}\n"));
            }
        } else {
            let word = self.toned(Tone::Bad, &format!("error[{}]", error.code));
            self.words(format_args!("{word}: {}", super::shown(&error.message)));
            error.hints.iter().for_each(|hint| self.hint(hint));
            let explain = self.command(&Suggestion::explain(error.code));
            self.words(format_args!("for details: {explain}"));
        }
        error.exit()
    }

    fn toned(&self, tone: Tone, word: &str) -> String {
        if self.colour {
            format!("{}{word}\u{1b}[0m", tone.start())
        } else {
            word.to_owned()
        }
    }
}

/// Words without a printer: what clap has to say.
pub(crate) fn write_words(text: &str) {
    // There is nobody left to tell that stderr is closed.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Data without a printer: help and version.
pub(crate) fn write_data(text: &str) -> Exit {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => Exit::Done,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
        Err(_) => Exit::Failed,
    }
}
