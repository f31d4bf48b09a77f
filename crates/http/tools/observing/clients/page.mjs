// The page that Chromium opens: it follows the events of its own origin.
import { NAMES } from './told.mjs';

function follow(names) {
  const source = new EventSource('/events');
  const tell = (frame, id, data) => globalThis.told(JSON.stringify([frame, id, data]));
  source.onmessage = (event) => tell('event', event.lastEventId, event.data);
  for (const name of names) {
    source.addEventListener(name, (event) => tell(name, event.lastEventId, event.data));
  }
  source.onerror = () => tell('(remark)', null, JSON.stringify(`cut, state ${source.readyState}`));
}

export function page() {
  return `<!doctype html><meta charset="utf-8"><title>events</title>
<script>(${follow})(${JSON.stringify(NAMES)})</script>`;
}
