/** Submits no-op tasks in batches over HTTP, two calls at a time, and tells what CPU time that took. */

import { readFile } from 'node:fs/promises';
import { Agent, request } from 'node:http';

const [url = '', tokenPath = '', count = '0', size = '0'] = process.argv.slice(2);
const token = (await readFile(tokenPath, 'utf8')).trim();
const callsAtOnce = 2;
const agent = new Agent({ keepAlive: true, maxSockets: callsAtOnce });
const started = process.cpuUsage();
process.send?.('began');
let left = Number(count);
await Promise.all(Array.from({ length: callsAtOnce }, () => submitAll()));
const { user, system } = process.cpuUsage(started);
process.send?.((user + system) / 1000);
process.disconnect();

async function submitAll(): Promise<void> {
  while (left > 0) {
    const n = Math.min(left, Number(size));
    left -= n;
    const tasks = Array.from({ length: n }, () => ({ tool: 'noop', action: 'run', payload: {} }));
    await post(JSON.stringify({ tasks }));
  }
}

function post(body: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const call = request(
      `${url}/api/v1/tasks/batch`,
      {
        method: 'POST',
        agent,
        headers: {
          authorization: `Bearer ${token}`,
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(body),
        },
      },
      (response) => {
        response.resume();
        response.on('end', () => {
          if (response.statusCode === 202) resolve();
          else reject(new Error(`answered ${String(response.statusCode)}`));
        });
      },
    );
    call.on('error', reject);
    call.end(body);
  });
}
