//! SQLite with the same durability: WAL, `synchronous=FULL`, and group commit at its best: one
//! transaction per batch, statements prepared once, no thread between client and database.

use std::{path::Path, time::Instant};

use rusqlite::{Connection, Statement, params};

use crate::{Failure, payload::Payload, stats::Phase};

/// How a row per event is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// Clustered by Worker: a Worker's replay is one range, and a batch touches a page per Worker.
    /// Nothing finds an event by position.
    Clustered,
    /// Clustered by position, with an index by Worker: what both kinds of stream need.
    Indexed,
}

impl Schema {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Clustered, Self::Indexed];

    /// As it stands in the tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clustered => "SQLite, key (worker, seq)",
            Self::Indexed => "SQLite, rowid and index",
        }
    }

    const fn sql(self) -> &'static str {
        match self {
            Self::Clustered => {
                "CREATE TABLE events(worker INTEGER, seq INTEGER, position INTEGER, at INTEGER,
                     kind TEXT, data BLOB, PRIMARY KEY(worker, seq)) WITHOUT ROWID;"
            }
            Self::Indexed => {
                "CREATE TABLE events(position INTEGER PRIMARY KEY, worker INTEGER, seq INTEGER,
                     at INTEGER, kind TEXT, data BLOB);
                 CREATE UNIQUE INDEX by_worker ON events(worker, seq);"
            }
        }
    }
}

/// A database of events.
pub struct Database {
    connection: Connection,
    position: i64,
}

impl Database {
    /// Opens a database; makes it when it is not there.
    ///
    /// # Errors
    /// When SQLite does.
    pub fn open(path: &Path, schema: Schema) -> Result<Self, Failure> {
        let is_new = !path.exists();
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        // As much as the Runtime's store has.
        connection.pragma_update(None, "cache_size", -65_536)?;
        if is_new {
            connection.execute_batch(schema.sql())?;
            connection.execute_batch(
                "CREATE TABLE receipts(worker INTEGER, input_id TEXT, seq INTEGER, position INTEGER,
                     at INTEGER, digest BLOB, PRIMARY KEY(worker, input_id)) WITHOUT ROWID;",
            )?;
        }
        let count = "SELECT coalesce(max(position), 0) FROM events";
        let position = connection.query_row(count, [], |row| row.get(0))?;
        Ok(Self {
            connection,
            position,
        })
    }

    /// Prepares what a round of writing needs, once.
    ///
    /// # Errors
    /// When SQLite does.
    pub fn writer(&mut self) -> Result<Writer<'_>, Failure> {
        Ok(Writer {
            event: self.connection.prepare(
                "INSERT INTO events(worker, seq, position, at, kind, data)
                 VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
            )?,
            receipt: self.connection.prepare(
                "INSERT INTO receipts(worker, input_id, seq, position, at, digest)
                 VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
            )?,
            connection: &self.connection,
            position: &mut self.position,
        })
    }

    /// `ops` payloads over `workers` Workers, in transactions of `in_flight`.
    ///
    /// # Errors
    /// When SQLite does.
    pub fn measure(&mut self, workers: u64, ops: u64, in_flight: u64) -> Result<Phase, Failure> {
        let mut latencies = Vec::new();
        let mut writer = self.writer()?;
        let started = Instant::now();
        let mut done = 0;
        while done < ops {
            let size = in_flight.min(ops - done);
            let began = Instant::now();
            let first = *writer.position as u64;
            let rows: Vec<(u32, u64)> = (first..first + size)
                .map(|at| ((at % workers) as u32, at / workers))
                .collect();
            writer.append(&rows)?;
            let took = began.elapsed();
            latencies.extend((0..size).map(|_| took));
            done += size;
        }
        Ok(Phase {
            ops,
            elapsed: started.elapsed(),
            latencies,
        })
    }

    /// The data of a Worker's events, in order.
    ///
    /// # Errors
    /// When SQLite does.
    pub fn replay(&self, worker: u32, mut each: impl FnMut(&[u8])) -> Result<u64, Failure> {
        let mut select = self.connection.prepare(
            "SELECT seq, position, at, kind, data FROM events WHERE worker = ?1 ORDER BY seq",
        )?;
        let mut rows = select.query([worker])?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            let (_seq, _position, _at): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let _kind = row.get_ref(3)?;
            each(row.get_ref(4)?.as_blob()?);
            count += 1;
        }
        Ok(count)
    }

    /// How many events there are: what the bench wrote must be in it.
    ///
    /// # Errors
    /// When it is not.
    pub fn check_count(&self, expected: u64) -> Result<(), Failure> {
        let count: i64 = self
            .connection
            .query_row("SELECT count(*) FROM events", [], |row| row.get(0))?;
        if count as u64 != expected {
            return Err(Failure::new(format!(
                "SQLite holds {count} events of {expected} that were written"
            )));
        }
        Ok(())
    }
}

/// Writes with statements that were prepared once; a call is a transaction.
pub struct Writer<'c> {
    connection: &'c Connection,
    event: Statement<'c>,
    receipt: Statement<'c>,
    position: &'c mut i64,
}

impl Writer<'_> {
    /// Adds operations of Workers, `(worker, op)`.
    ///
    /// # Errors
    /// When SQLite does.
    pub fn append(&mut self, rows: &[(u32, u64)]) -> Result<(), Failure> {
        let transaction = self.connection.unchecked_transaction()?;
        for (worker, op) in rows {
            Self::event(
                &mut self.event,
                self.position,
                (*worker, *op as i64 + 1),
                "tool.call",
                Payload::new(*worker, *op),
            )?;
        }
        Ok(transaction.commit()?)
    }

    /// Accepts inputs, `(worker, input)`: a receipt and an event each.
    ///
    /// # Errors
    /// When SQLite does.
    pub fn accept(&mut self, inputs: &[(u32, u64)]) -> Result<(), Failure> {
        let transaction = self.connection.unchecked_transaction()?;
        for (worker, input) in inputs {
            let seq = *input as i64 * 2 + 1;
            let payload = Payload::new(*worker, *input);
            let place = (*worker, seq);
            Self::event(
                &mut self.event,
                self.position,
                place,
                "input.accepted",
                payload,
            )?;
            let (id, digest) = (format!("input-{input:032}"), [0_u8; 16]);
            let position: i64 = *self.position;
            self.receipt
                .execute(params![worker, id, seq, position, 0_i64, digest])?;
        }
        Ok(transaction.commit()?)
    }

    /// Gives inputs their outcome: an event each.
    ///
    /// # Errors
    /// When SQLite does.
    pub fn finish(&mut self, inputs: &[(u32, u64)]) -> Result<(), Failure> {
        let transaction = self.connection.unchecked_transaction()?;
        for (worker, input) in inputs {
            let place = (*worker, *input as i64 * 2 + 2);
            let payload = Payload::new(*worker, *input);
            Self::event(
                &mut self.event,
                self.position,
                place,
                "run.finished",
                payload,
            )?;
        }
        Ok(transaction.commit()?)
    }

    fn event(
        insert: &mut Statement<'_>,
        position: &mut i64,
        (worker, seq): (u32, i64),
        kind: &str,
        payload: Payload,
    ) -> Result<(), Failure> {
        *position += 1;
        let data = payload.to_bytes()?;
        insert.execute(params![worker, seq, *position, 0_i64, kind, data])?;
        Ok(())
    }
}
