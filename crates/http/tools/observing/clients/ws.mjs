// npm `ws`: a WebSocket. It does not come back by itself: whoever uses it does, with the cursor of the last
// frame.
import WebSocket from 'ws';
import { authorization, remarked, told, url } from './told.mjs';

/** How long it stays away after a connection that ended or failed. */
const RETRY_MS = 500;

let cursor = null;

function follow() {
  const address = new URL(`${url.replace('http:', 'ws:')}/ws`);
  if (cursor !== null) address.searchParams.set('cursor', cursor);
  const socket = new WebSocket(address, { headers: authorization });
  socket.on('message', (message) => {
    const { frame, data } = JSON.parse(message);
    told(frame, data.cursor, JSON.stringify(data));
    cursor = data.cursor ?? cursor;
  });
  // Always followed by `close`.
  socket.on('error', (error) => remarked(error.message));
  socket.on('close', (code, reason) => {
    remarked(`closed with ${code} ${reason}`);
    setTimeout(follow, RETRY_MS);
  });
}

follow();
