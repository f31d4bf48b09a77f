// Chromium's own EventSource. It can't send a token, so its page and its events come from a backend of the
// same origin, which adds it (proxy.mjs). The browser is driven, and what its page is told is heard, through
// the pipe of its DevTools: nothing else listens.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { page } from './page.mjs';
import { serve } from './proxy.mjs';
import { told, url, authorization } from './told.mjs';

const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--no-proxy-server',
  '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-breakpad',
  '--disable-dev-shm-usage', '--remote-debugging-pipe',
];

const profile = mkdtempSync(join(process.env.TMPDIR ?? tmpdir(), 'chromium-'));
const environment = { ...process.env };
delete environment.ACCESS_TOKEN;
const browser = spawn('chromium', [...FLAGS, `--user-data-dir=${profile}`], {
  stdio: ['ignore', 'ignore', 'inherit', 'pipe', 'pipe'],
  env: environment,
});
browser.on('exit', (code, signal) => {
  rmSync(profile, { recursive: true, force: true });
  console.error(`Chromium ended with ${code ?? signal}`);
  process.exit(1);
});
// It has many processes, which it ends itself.
process.on('SIGTERM', () => browser.kill('SIGTERM'));

const [, , , toBrowser, fromBrowser] = browser.stdio;
const waiting = new Map();
let lastId = 0;

function ask(method, params = {}, sessionId = undefined) {
  lastId += 1;
  toBrowser.write(`${JSON.stringify({ id: lastId, method, params, sessionId })}\0`);
  return new Promise((resolve, reject) => waiting.set(lastId, { resolve, reject }));
}

function heard(message) {
  if (message.method === 'Runtime.bindingCalled') {
    const [frame, id, data] = JSON.parse(message.params.payload);
    told(frame, id, data);
  } else if (waiting.has(message.id)) {
    const { resolve, reject } = waiting.get(message.id);
    waiting.delete(message.id);
    if (message.error) reject(new Error(message.error.message));
    else resolve(message.result);
  }
}

let parts = [];
fromBrowser.on('data', (chunk) => {
  let rest = chunk;
  for (let end = rest.indexOf(0); end >= 0; end = rest.indexOf(0)) {
    heard(JSON.parse(Buffer.concat([...parts, rest.subarray(0, end)]).toString()));
    parts = [];
    rest = rest.subarray(end + 1);
  }
  parts.push(rest);
});

const origin = await serve(url, authorization, page());
const { targetId } = await ask('Target.createTarget', { url: 'about:blank' });
const { sessionId } = await ask('Target.attachToTarget', { targetId, flatten: true });
await ask('Runtime.enable', {}, sessionId);
await ask('Runtime.addBinding', { name: 'told' }, sessionId);
await ask('Page.navigate', { url: origin }, sessionId);
