// The backend that a browser's EventSource needs: it serves a page, and passes on the events with the token
// that the page must not have.
//
// While the server can't be reached it cuts the connection, as the server's own end would. A 502 there would
// have the browser give up for ever.
import http from 'node:http';

/** Serves `page`, and what `events` answers as `/events`; the address is resolved to. */
export function serve(events, authorization, page) {
  const server = http.createServer((request, response) => {
    if (request.url === '/') {
      response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' }).end(page);
    } else if (request.url === '/events') {
      pass(request, response, events, authorization);
    } else {
      response.writeHead(404).end();
    }
  });
  return new Promise((resolve, reject) => {
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => resolve(`http://127.0.0.1:${server.address().port}/`));
  });
}

function pass(request, response, events, authorization) {
  const headers = { Accept: request.headers.accept, ...authorization };
  const cursor = request.headers['last-event-id'];
  if (cursor) headers['Last-Event-ID'] = cursor;
  const asked = http.get(events, { headers, agent: false });
  asked.on('error', () => response.destroy());
  asked.on('response', (answer) => {
    response.writeHead(answer.statusCode, {
      'Content-Type': answer.headers['content-type'] ?? 'text/plain',
      'Cache-Control': 'no-store, no-transform',
    });
    // It reads no faster than the browser does.
    answer.pipe(response);
    answer.on('error', () => response.destroy());
    answer.on('aborted', () => response.destroy());
  });
  response.on('close', () => asked.destroy());
}
