// npm `eventsource-client`: one that takes headers. It comes back by itself.
import { createEventSource } from 'eventsource-client';
import { authorization, remarked, told, url } from './told.mjs';

createEventSource({
  url,
  headers: authorization,
  onMessage: ({ event, id, data }) => told(event ?? 'event', id, data),
  onScheduleReconnect: ({ delay }) => remarked(`comes back in ${delay} ms`),
});
