//! Every kind of cursor: followed when it can be, refused by what is wrong with it when it can't (I2).

use worker_runtime_core::{
    Code, Cursor, Event, PageSize, Position, RuntimeId, Stream, cursor::From as Start,
    error::ReadError,
};

use crate::model::{
    plain::Life,
    play::Game,
    stop::{Played, ensure},
};

const PAGE: PageSize = PageSize {
    events_max: 3,
    bytes_max: 1 << 20,
};

/// How many of the cursors that were handed out are followed at a time.
const FOLLOWED: usize = 12;

impl Game {
    pub(super) fn check_cursors(&mut self) -> Played<()> {
        let step = self.cursors.len().div_ceil(FOLLOWED).max(1);
        let offset = usize::try_from(self.plain.position().0).unwrap_or_default() % step;
        let known: Vec<_> = self
            .cursors
            .iter()
            .skip(offset)
            .step_by(step)
            .copied()
            .collect();
        for (stream, cursor) in known {
            self.follow_cursor(stream, cursor)?;
        }
        self.refuse_cursors()
    }

    /// A cursor that was handed out leads on exactly where it stands.
    fn follow_cursor(&mut self, stream: Stream, cursor: Cursor) -> Played<()> {
        let text = cursor.to_string();
        let again = text.parse::<Cursor>();
        ensure(
            again == Ok(cursor) && text.len() < 64,
            "I2 a cursor is a short token",
            || format!("{text} is read as {again:?}"),
        )?;
        let answer = self
            .world
            .observation
            .events(stream, Start::After(cursor), PAGE);
        let is_gone = matches!(stream, Stream::Worker(id)
            if self.plain.worker(id).is_none_or(|worker| worker.life == Life::Deleted));
        if is_gone {
            return self.cursor_refused(Code::WorkerDeleted, answer.err(), stream, cursor);
        }
        // Expired exactly when an event of the stream after it was trimmed.
        let trimmed = self.plain.trimmed.get(&stream).copied().unwrap_or_default();
        let lost = self.plain.after(stream, cursor.position()).next();
        if lost.is_some_and(|event| event.position <= trimmed) {
            return self.cursor_refused(Code::CursorExpired, answer.err(), stream, cursor);
        }
        let fits = answer.as_ref().is_ok_and(|page| {
            let gap = page.gap.as_ref();
            let after = gap.map_or(cursor.position(), |gap| gap.to);
            let wanted: Vec<&Event> = self
                .plain
                .after(stream, after)
                .take(PAGE.events_max)
                .collect();
            let is_redacted = |event: &Event| event.kind.as_str() == "redacted";
            let same = page
                .events
                .iter()
                .zip(&wanted)
                .take_while(|((_, event), _)| !is_redacted(event));
            gap.is_none_or(|gap| {
                gap.from == cursor.position().next() && self.plain.may_miss(gap.from, gap.to)
            }) && (stream == Stream::Runtime || page.events.len() == wanted.len())
                && (gap.is_some() || wanted.is_empty() == page.events.is_empty())
                && same
                    .into_iter()
                    .all(|((_, event), wanted)| event == *wanted)
        });
        ensure(fits, "I2 a cursor leads on where it stands", || {
            format!(
                "{cursor} of {stream:?} at {} gave {answer:?}",
                cursor.position()
            )
        })?;
        self.count("cursors followed");
        Ok(())
    }

    fn cursor_refused(
        &mut self,
        code: Code,
        error: Option<ReadError>,
        stream: Stream,
        cursor: Cursor,
    ) -> Played<()> {
        let told = error.as_ref().map(ReadError::code);
        ensure(
            told == Some(code),
            "I2 a cursor is refused by what is wrong with it",
            || {
                format!(
                    "{cursor} of {stream:?} at {} gave {error:?}, not {code}",
                    cursor.position()
                )
            },
        )?;
        self.count(&format!("refused {code}"));
        Ok(())
    }

    /// Cursors that nobody handed out.
    fn refuse_cursors(&mut self) -> Played<()> {
        let runtime_id = self.world.observation.runtime_id();
        let position = self.plain.position();
        let Some((newest, first)) = self.plain.incarnations.last().copied() else {
            return Ok(());
        };
        let alive = self
            .plain
            .workers
            .iter()
            .filter(|worker| worker.life != Life::Deleted);
        let workers: Vec<Stream> = alive
            .map(|worker| Stream::Worker(worker.id))
            .take(2)
            .collect();
        let at =
            |stream, position, incarnation| Cursor::new(runtime_id, stream, position, incarnation);
        let other = RuntimeId::from_bytes([3; 16]);
        let mut bad = vec![
            (
                Stream::Runtime,
                Cursor::new(other, Stream::Runtime, position, newest),
                Code::CursorForeign,
            ),
            (
                Stream::Runtime,
                at(Stream::Runtime, Position(position.0 + 1), newest),
                Code::CursorAhead,
            ),
            (
                Stream::Runtime,
                at(Stream::Runtime, Position(position.0 + 999), newest),
                Code::CursorAhead,
            ),
            (
                Stream::Runtime,
                at(Stream::Runtime, position, newest ^ 1),
                Code::CursorForked,
            ),
        ];
        // An incarnation did not write what the next one did.
        if let Some((before, _)) = self.plain.incarnations.iter().rev().nth(1) {
            bad.push((
                Stream::Runtime,
                at(Stream::Runtime, first, *before),
                Code::CursorForked,
            ));
        }
        if let [a, b] = workers.as_slice() {
            bad.push((*a, at(*b, position, newest), Code::CursorForeign));
            bad.push((
                *a,
                at(Stream::Runtime, position, newest),
                Code::CursorForeign,
            ));
            bad.push((
                Stream::Runtime,
                at(*a, position, newest),
                Code::CursorForeign,
            ));
        }
        for (stream, cursor, code) in bad {
            let answer = self
                .world
                .observation
                .events(stream, Start::After(cursor), PAGE);
            self.cursor_refused(code, answer.err(), stream, cursor)?;
        }
        let mut text = at(Stream::Runtime, position, newest).to_string();
        let last = if text.pop() == Some('0') { '1' } else { '0' };
        text.push(last);
        let read = text.parse::<Cursor>();
        ensure(read.is_err(), "I2 a changed character is noticed", || {
            format!("{text} is read as {read:?}")
        })?;
        self.count("refused WR-CURSOR-MALFORMED");
        Ok(())
    }
}
