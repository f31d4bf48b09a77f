// npm `eventsource`: the EventSource of the WHATWG in Node.js. It comes back by itself.
import { EventSource } from 'eventsource';
import { NAMES, authorization, remarked, told, url } from './told.mjs';

const source = new EventSource(url, {
  fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, ...authorization } }),
});
source.onmessage = (event) => told('event', event.lastEventId, event.data);
for (const name of NAMES) {
  source.addEventListener(name, (event) => told(name, event.lastEventId, event.data));
}
source.onerror = (event) => {
  remarked(`${event.message ?? 'cut'}, status ${event.code ?? 'none'}, state ${source.readyState}`);
};
