// What every client beside this file does with what it is told: a line of JSON on stdout.
//
// Each is started with the address of the events to follow as its only argument, and the access token in
// the environment, and follows until it is ended.
import { writeSync } from 'node:fs';

/** Every name that a frame may have; one without is an event. */
export const NAMES = ['started', 'gap', 'up_to_date', 'heartbeat', 'busy', 'end', 'delta'];

export const url = process.argv[2];
export const authorization = { Authorization: `Bearer ${process.env.ACCESS_TOKEN}` };

/** `data` is JSON as it was received. `id` is the cursor, as this client shows it. */
export function told(frame, id, data) {
  let line = Buffer.from(`${JSON.stringify({ frame, id: id || null, data: JSON.parse(data) })}\n`);
  while (line.length > 0) {
    line = line.subarray(written(line));
  }
}

/** A pipe that is full is waited for: what is told is never dropped. */
function written(line) {
  try {
    return writeSync(1, line);
  } catch (error) {
    if (error.code !== 'EAGAIN') throw error;
    return 0;
  }
}

/** What is no frame: a connection that failed or ended, as this client says it. */
export function remarked(what) {
  told('(remark)', null, JSON.stringify(String(what)));
}
